"""HTTP: the app and its routers, over the handles of `foldstore.store`. No route exists yet."""
