"""Client, server concept and dispatch of an interface over a channel."""


def includes():
    return ""


def sides(interface):
    return ""
