"""Canaille with people and a client of its own, all in memory.

    serve.py CONFIGURATION PORT

CONFIGURATION is a file of JSON: `people` and `clients` are what Canaille's models of these names have. The audience of a
client, beside itself, is ids of clients before it.
"""

import json
import sys

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import ECKey, RSAKey


def main(file, port):
    with open(file, encoding="utf-8") as text:
        configuration = json.load(text)
    keys = [RSAKey.generate_key(2048, auto_kid=True), ECKey.generate_key("P-256", auto_kid=True)]
    app = create_app(
        {
            "SECRET_KEY": "a secret of the tests",
            "SERVER_NAME": f"127.0.0.1:{port}",
            "PREFERRED_URL_SCHEME": "http",
            "CANAILLE": {"DATABASE": "memory"},
            "CANAILLE_OIDC": {"ACTIVE_JWKS": [key.as_dict(private=True) for key in keys]},
        }
    )
    with app.app_context():
        for person in configuration["people"]:
            Backend.instance.save(models.User(**person))
        clients = {}
        for client in configuration["clients"]:
            audience = client.pop("audience", [])
            clients[client["client_id"]] = model = models.Client(**client)
            Backend.instance.save(model)
            # As the administrator's page has it.
            model.audience = [model, *(clients[name] for name in audience)]
            Backend.instance.save(model)
    app.run("127.0.0.1", int(port))


main(*sys.argv[1:])
