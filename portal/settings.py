"""All configuration comes from the environment (or a `.env` beside manage.py); `.env.example` explains each setting."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from portal import logs

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
ENV_FILE = Path(env.str("ENV_FILE", str(BASE_DIR / ".env")))
if ENV_FILE.exists():
    env.read_env(str(ENV_FILE))


def secret(name: str) -> str:
    value: str = env.str(name, "").strip()
    if not value:
        raise ImproperlyConfigured(
            f"{name} is not set. `make run` writes one into .env; elsewhere set it in the environment."
        )
    return value


def words(name: str, default: str = "") -> list[str]:
    return [word.strip() for word in env.str(name, default).split(",") if word.strip()]


DEBUG = env.bool("DEBUG", False)
SECRET_KEY = secret("SECRET_KEY")
FIELD_ENCRYPTION_KEYS = words("FIELD_ENCRYPTION_KEYS")
ALLOWED_HOSTS = words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "portal.apps.CounterpartAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "portal.apps.LockConfig",
    "django_otp",
    "portal",
    "connections",
    "syncer",
]
MIDDLEWARE = [
    "portal.access.Access",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "portal.busy.Busy",
    "portal.login.gate.Gate",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# SQLite is safe for web and worker together only with WAL, IMMEDIATE transactions and a patient timeout
# (docs/adr/0002-sqlite-by-default.md); portal/checks.py refuses anything else.
DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / "var")))
DATABASE: dict[str, Any] = env.db_url("DATABASE_URL", f"sqlite:///{DATA_DIR / 'counterpart.sqlite3'}")
if DATABASE["ENGINE"] == "django.db.backends.sqlite3":
    Path(DATABASE["NAME"]).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    DATABASE.setdefault("OPTIONS", {}).update(
        timeout=20,
        transaction_mode="IMMEDIATE",
        init_command="PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    )
else:
    DATABASE.update(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)
DATABASES = {"default": DATABASE}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# `default` may be each process's own; `shared` is seen by all: by those of one host through files, by those of many
# through Redis.
CACHE_URL = env.str("CACHE_URL", "")
REDIS = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": CACHE_URL}
FILES = {
    "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
    "LOCATION": str(DATA_DIR / "cache"),
    "OPTIONS": {"MAX_ENTRIES": 10_000},
}
LOCAL = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
CACHES = {"default": REDIS if CACHE_URL else LOCAL, "shared": REDIS if CACHE_URL else FILES}

# Signed checkpoints of the history, and the folder that another machine keeps (docs/adr/0007-checkpoints.md).
CHECKPOINT_KEY = env.str("CHECKPOINT_KEY", "").strip()
CHECKPOINT_DIR = Path(env.str("CHECKPOINT_DIR", str(DATA_DIR / "checkpoints")))

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
DATETIME_FORMAT = "Y-m-d H:i"
DATE_FORMAT = "Y-m-d"

STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(BASE_DIR / "staticfiles")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000
DEFAULT_EXCEPTION_REPORTER_FILTER = "portal.reports.QuietReports"

# Roles alone give rights (connections/roles.py), so the backend that knows passwords gives none.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "portal.login.backend.Passwords"]
TWO_FACTOR = env.str("TWO_FACTOR", "optional")
if TWO_FACTOR not in ("optional", "required"):
    raise ImproperlyConfigured(f"TWO_FACTOR is {TWO_FACTOR!r}; it can be optional or required.")
# Failed log-ins are counted in the database, which all processes share; what was typed is not kept.
AXES_HANDLER = "axes.handlers.database.AxesDatabaseHandler"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
LOGIN_FAILURES_PER_NETWORK = 50
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_USERNAME_CALLABLE = "portal.login.throttle.counted_name"
AXES_CLIENT_IP_CALLABLE = "portal.login.throttle.counted_address"
AXES_LOCKOUT_CALLABLE = "portal.login.throttle.locked"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "code", "next", "csrfmiddlewaretoken"]
# The history tells of log-ins, and our own page shows the failures.
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = AXES_VERBOSE = False

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Behind TLS: HTTPS=true turns on secure cookies, HSTS and the redirect.
HTTPS = env.bool("HTTPS", False)
SESSION_COOKIE_AGE = 8 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
BEHIND_PROXY = env.bool("BEHIND_PROXY", False)
PROXY_COUNT = max(env.int("PROXY_COUNT", 1), 1)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Where `run` serves, and how long it lets its programs finish before it ends them (a slice can be cut off anywhere).
BIND = env.str("BIND", "127.0.0.1")
PORT = env.int("PORT", 8000)
WEB_PROCESSES = env.int("WEB_PROCESSES", 2)
STOP_SECONDS = env.int("STOP_SECONDS", 30)

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "connections.api.schema.Schema",
    "EXCEPTION_HANDLER": "connections.api.errors.handler",
    "UNAUTHENTICATED_USER": None,
}
# Calls of one API key, counted in the shared cache.
API_RATE = env.str("API_RATE", "600/minute")
# The description of the API, which is open to anybody and takes a moment to write: by address.
API_DOCS_RATE = env.str("API_DOCS_RATE", "30/minute")
SPECTACULAR_SETTINGS = {
    "TITLE": "Counterpart",
    "VERSION": "1",
    "DESCRIPTION": "Contacts of cloud apps, kept in sync. docs/api.md tells how to begin.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SORT_OPERATION_PARAMETERS": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "AccountStatus": "connections.models.Account.Status",
        "ConnectionState": "connections.models.Connection.State",
        "RunStatus": "syncer.models.SyncRun.Status",
        "LinkState": "syncer.models.Link.State",
        "ChangeState": "syncer.models.Change.State",
        "HoldKind": "syncer.models.Hold.Kind",
        "EntryKind": "syncer.models.log.Kind",
        "Side": "connections.models.Rule.Source",
    },
}

# The queue. A slice of a run stays well below `timeout`; `retry` counts from the prefetch, so it must exceed
# timeout x 3; attempts are counted in our own rows (docs/adr/0003-the-queue.md).
WORKERS = env.int("WORKERS", 2)
SLICE_SECONDS = env.int("SLICE_SECONDS", 240)
LEASE_SECONDS = env.int("LEASE_SECONDS", 90)
Q_CLUSTER = {
    "name": "counterpart",
    "orm": "default",
    "workers": WORKERS,
    "queue_limit": WORKERS,
    "bulk": 1,
    "timeout": 300,
    "retry": 960,
    "ack_failures": True,
    "max_attempts": 1,
    "catch_up": False,
    "save_limit": 50,
    "recycle": 200,
    "poll": 0.5,
    "max_rss": 400_000,
    "label": "Queue",
}

# Where connectors find their apps (sandbox, tests, proxies), and how much they may ask of them.
SALESMATE_URL = env.str("SALESMATE_URL", "https://{subdomain}.salesmate.io")
SALESMATE_CALLS_PER_HOUR = env.int("SALESMATE_CALLS_PER_HOUR", 1500)
GOOGLE_PEOPLE_URL = env.str("GOOGLE_PEOPLE_URL", "https://people.googleapis.com")
GOOGLE_AUTH_URL = env.str("GOOGLE_AUTH_URL", "https://accounts.google.com/o/oauth2/v2/auth")
GOOGLE_TOKEN_URL = env.str("GOOGLE_TOKEN_URL", "https://oauth2.googleapis.com/token")
GOOGLE_CONTACTS_CALLS_PER_HOUR = env.int("GOOGLE_CONTACTS_CALLS_PER_HOUR", 3000)
GOOGLE_CLIENT_ID = env.str("GOOGLE_CLIENT_ID", "")
GOOGLE_CLIENT_SECRET = env.str("GOOGLE_CLIENT_SECRET", "")
MAILCHIMP_URL = env.str("MAILCHIMP_URL", "https://{dc}.api.mailchimp.com")
MAILCHIMP_AUTH_URL = env.str("MAILCHIMP_AUTH_URL", "https://login.mailchimp.com/oauth2/authorize")
MAILCHIMP_TOKEN_URL = env.str("MAILCHIMP_TOKEN_URL", "https://login.mailchimp.com/oauth2/token")
MAILCHIMP_METADATA_URL = env.str("MAILCHIMP_METADATA_URL", "https://login.mailchimp.com/oauth2/metadata")
MAILCHIMP_CLIENT_ID = env.str("MAILCHIMP_CLIENT_ID", "")
MAILCHIMP_CLIENT_SECRET = env.str("MAILCHIMP_CLIENT_SECRET", "")
# Where apps reach this portal from outside, for their webhooks.
PORTAL_URL = env.str("PORTAL_URL", "")
ALLOW_PRIVATE_HOSTS = env.bool("ALLOW_PRIVATE_HOSTS", False)

# /metrics is not there unless one of these is set; a token that is set is always asked for.
METRICS_TOKEN = env.str("METRICS_TOKEN", "").strip()
METRICS_OPEN = env.bool("METRICS_OPEN", False)

LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOG_FORMAT = env.str("LOG_FORMAT", "plain")
if LOG_FORMAT not in logs.FORMATS:
    raise ImproperlyConfigured(f"LOG_FORMAT must be one of: {', '.join(logs.FORMATS)}.")
LOGGING = logs.config(LOG_FORMAT, LOG_LEVEL)
TESTING = "pytest" in sys.modules
