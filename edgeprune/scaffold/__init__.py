"""Files of a new project: recipe, network and data, written from templates and checked."""
