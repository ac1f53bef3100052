"""HTTP: the app and its routers, over the handles of `foldstore.store`; every route but three needs a token."""
