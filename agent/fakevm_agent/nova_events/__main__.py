"""nova-events, the program: `python -m fakevm_agent.nova_events`."""

from fakevm_agent.nova_events.service import main

if __name__ == "__main__":
    main()
