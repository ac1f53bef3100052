"""The catalog: which datasets, versions, pages, objects and documents exist, in one SQL database.

The only home of sqlalchemy and alembic. SQLite inside the store's folder by default, PostgreSQL by URL.
The catalog is the truth; a file that it does not name is not part of the store.
"""
