import os

from psycopg_pool import ConnectionPool

# An idle instance keeps its connections. One that the database has closed in the meantime is replaced.
pool = ConnectionPool(
    os.environ["DATABASE_URL"], min_size=0, max_size=2, check=ConnectionPool.check_connection, timeout=10, open=True
)


def handler(name: str):
    with pool.connection() as connection:
        connection.execute("create table if not exists visits (name text primary key, count int not null)")
        row = connection.execute(
            "insert into visits values (%s, 1) on conflict (name) do update set count = visits.count + 1"
            " returning count",
            [name],
        ).fetchone()
    return {"name": name, "visits": row[0]}
