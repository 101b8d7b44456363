from fakevm import Lab

with Lab.up("mine", computes=2) as lab:
    net = lab.network("blue", subnets=["10.1.0.0/24"])
    group = lab.security_group("web", rules=["ingress tcp 80", "ingress udp", "ingress icmp"])
    web = lab.vm("web", on="compute-1", networks=[net], security_groups=[group])
    client = lab.vm("client", on="compute-2", networks=[net], security_groups=[group])
    client.assert_reaches(web, port=80)
    client.assert_cannot_reach(web, port=22)
    report = web.migrate("compute-2", probe=[client])
    print(report.outcome, [(flow.flow, flow.lost, flow.longest_gap_ms) for flow in report.flows])
