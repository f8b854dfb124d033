//! The table `servers`: machines that run an agent.
