# SPDX-License-Identifier: Apache-2.0
"""Starts the MLflow tracking server: waits for its database and its bucket, brings both up to date, and serves.

The password of the database is read from a file and quoted here, so every printable character may be in it; the URI is
handed on in the environment, where no list of processes shows it.
"""

import os
import sys
import time
from urllib.parse import quote

ATTEMPTS = 90


def database_uri(env, password):
    """The URI of the backend store with user and password percent-encoded."""
    user, secret = quote(env["DATABASE_USER"], safe=""), quote(password, safe="")
    return f"postgresql+psycopg2://{user}:{secret}@{env['DATABASE_HOST']}:5432/{env['DATABASE_NAME']}"


def until(what, attempt):
    """Calls `attempt` until it returns without an error, once a second; the last error is raised."""
    for number in range(1, ATTEMPTS + 1):
        try:
            return attempt()
        except Exception as error:
            if number == ATTEMPTS:
                raise
            if number % 10 == 1:
                print(f"waiting for {what}: {type(error).__name__}", file=sys.stderr, flush=True)
            time.sleep(1)


def prepare_database(uri):
    """Waits until the database takes the password, and migrates tables that an older MLflow made."""
    from sqlalchemy import create_engine, inspect, pool

    engine = create_engine(uri, poolclass=pool.NullPool)

    def connect():
        with engine.connect() as connection:
            return inspect(connection).has_table("alembic_version")

    if until("the database", connect):
        from mlflow.store.db.utils import _upgrade_db

        _upgrade_db(engine)


def prepare_bucket(endpoint, bucket):
    """Makes the bucket for artifacts when it is absent."""
    import boto3
    from botocore.exceptions import ClientError

    client = boto3.client("s3", endpoint_url=endpoint)

    def ensure():
        try:
            client.head_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
                raise
            client.create_bucket(Bucket=bucket)

    until("the object store", ensure)


def main(env):
    with open(env["DATABASE_PASSWORD_FILE"], encoding="utf-8") as file:
        uri = database_uri(env, file.read().rstrip("\n"))
    bucket = env["S3_BUCKET"]
    prepare_database(uri)
    prepare_bucket(env["MLFLOW_S3_ENDPOINT_URL"], bucket)
    env["MLFLOW_BACKEND_STORE_URI"] = uri
    arguments = ["--host", "0.0.0.0", "--port", "5000", "--workers", "1"]
    arguments += ["--serve-artifacts", "--artifacts-destination", f"s3://{bucket}"]
    os.execvpe("mlflow", ["mlflow", "server", *arguments], env)


if __name__ == "__main__":
    main(dict(os.environ))
