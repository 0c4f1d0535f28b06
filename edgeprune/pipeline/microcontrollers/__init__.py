"""The parts of a build that only microcontrollers have."""
