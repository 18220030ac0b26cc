"""The subcommands of `ptu-seq`, one a file: each adds its parser and holds what it does."""
