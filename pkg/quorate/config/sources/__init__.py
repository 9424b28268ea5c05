"""Where configuration comes from: files, variables, the shared store, HTTP."""
