"""Django with django-oauth-toolkit, its pages and Django's own login form, as its tutorial has it.

    serve.py CONFIGURATION FOLDER PORT

CONFIGURATION is a file of JSON: `clients` are what the toolkit's model Application has, `people` have email, name and
password. The database goes to FOLDER.
"""

import json
import os
import sys

import django
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings
from django.core.management import call_command
from django.urls import include, path

LOGIN = """<!doctype html><html lang="en"><title>Log in</title>
<form method="post">{% csrf_token %}{{ form.as_p }}<button>Log in</button></form>"""


urlpatterns = []


def main(file, folder, port):
    with open(file, encoding="utf-8") as text:
        configuration = json.load(text)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(folder, "django.sqlite")}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "oauth2_provider",
        ],
        LOGIN_URL="/accounts/login/",
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        OAUTH2_PROVIDER={
            "OIDC_ENABLED": True,
            "OIDC_RSA_PRIVATE_KEY": pem,
            "OAUTH2_VALIDATOR_CLASS": "claims.Claims",
            "SCOPES": {"openid": "OpenID Connect", "email": "your address", "profile": "your name"},
        },
        ROOT_URLCONF=__name__,
        SECRET_KEY="a secret of the tests",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                    ],
                },
            },
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [folder],
                "NAME": "login",
            },
        ],
    )
    os.makedirs(os.path.join(folder, "registration"))
    with open(os.path.join(folder, "registration/login.html"), "w", encoding="utf-8") as page:
        page.write(LOGIN)
    django.setup()
    urlpatterns[:] = [
        path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
        path("accounts/", include("django.contrib.auth.urls")),
    ]
    call_command("migrate", verbosity=0)

    from django.contrib.auth.models import User
    from oauth2_provider.models import Application

    for person in configuration["people"]:
        given, family = person["name"].split(" ", 1)
        User.objects.create_user(person["email"], person["email"], person["password"], first_name=given, last_name=family)
    for client in configuration["clients"]:
        Application.objects.create(**client)
    call_command("runserver", f"127.0.0.1:{port}", use_reloader=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
