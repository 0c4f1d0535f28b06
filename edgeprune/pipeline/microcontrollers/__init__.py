"""Parts of a build that only microcontrollers need."""
