"""Next steps for common mistakes. Loaded only when something has gone wrong."""

from __future__ import annotations

import sys

from .files import VENDOR_DIRS, isdir, isfile, python_files

# Modules whose package on PyPI has another name.
PACKAGES = {
    "attr": "attrs",
    "Bio": "biopython",
    "bs4": "beautifulsoup4",
    "bson": "pymongo",
    "cairo": "pycairo",
    "certifi_win32": "python-certifi-win32",
    "cpuinfo": "py-cpuinfo",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "discord": "discord.py",
    "dns": "dnspython",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "PyMuPDF",
    "flask_cors": "Flask-Cors",
    "git": "GitPython",
    "github": "PyGithub",
    "gi": "PyGObject",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "html2text": "html2text",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "kafka": "kafka-python",
    "ldap": "python-ldap",
    "lxml": "lxml",
    "magic": "python-magic",
    "markdown": "Markdown",
    "memcache": "python-memcached",
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
    "nacl": "PyNaCl",
    "odf": "odfpy",
    "OpenSSL": "pyOpenSSL",
    "PIL": "Pillow",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "pythoncom": "pywin32",
    "qrcode": "qrcode",
    "Levenshtein": "python-Levenshtein",
    "serial": "pyserial",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "slugify": "python-slugify",
    "snowflake": "snowflake-connector-python",
    "socketio": "python-socketio",
    "sqlalchemy": "SQLAlchemy",
    "telegram": "python-telegram-bot",
    "usb": "pyusb",
    "win32api": "pywin32",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}


# Modules that left the standard library: with which release, and the package that brings them back.
REMOVED = {
    "aifc": ("3.13", "standard-aifc"),
    "asynchat": ("3.12", "pyasynchat"),
    "asyncore": ("3.12", "pyasyncore"),
    "audioop": ("3.13", "audioop-lts"),
    "cgi": ("3.13", "legacy-cgi"),
    "cgitb": ("3.13", "legacy-cgi"),
    "chunk": ("3.13", "standard-chunk"),
    "crypt": ("3.13", None),
    "distutils": ("3.12", "setuptools"),
    "imghdr": ("3.13", "standard-imghdr"),
    "imp": ("3.12", None),
    "lib2to3": ("3.13", None),
    "mailcap": ("3.13", "standard-mailcap"),
    "msilib": ("3.13", None),
    "nis": ("3.13", None),
    "nntplib": ("3.13", "standard-nntplib"),
    "ossaudiodev": ("3.13", None),
    "pipes": ("3.13", "standard-pipes"),
    "smtpd": ("3.12", "aiosmtpd"),
    "sndhdr": ("3.13", "standard-sndhdr"),
    "spwd": ("3.13", None),
    "sunau": ("3.13", "standard-sunau"),
    "telnetlib": ("3.13", "standard-telnetlib"),
    "uu": ("3.13", "standard-uu"),
    "xdrlib": ("3.13", "standard-xdrlib"),
}
# Files that declare packages and of which nothing is installed.
ELSEWHERE = ("setup.py", "setup.cfg", "environment.yml", "requirements.in", "requirements-prod.txt", "requirements/")


def for_missing_module(name: str | None, code: str) -> str | None:
    """What to do when the import of a module failed. Never the name of a file of the function's own as a package: on
    an index it is somebody else's."""
    if not name:
        return None
    top = name.partition(".")[0]
    found = _own(top, code) or _part_of_python(top)
    if found:
        return found
    package = PACKAGES.get(name) or PACKAGES.get(top) or top.replace("_", "-")
    held = _held_back(code)
    if held:
        return f"{held}; {package} brings it"
    return f"name it in requirements.txt, or vendor it beside the code: pip install --target vendor {package}"


def for_hidden_module(error: ImportError | AttributeError, code: str) -> str | None:
    """What to do when a name is missing in a file of the function's that Python finds before its own module."""
    if isinstance(error, ImportError):
        name = error.name
        module = sys.modules.get(name.partition(".")[0]) if name else None
    else:
        module = error.obj
        name = getattr(module, "__name__", None) if isinstance(module, type(sys)) else None
    top = name.partition(".")[0] if isinstance(name, str) else ""
    place = getattr(module, "__file__", None)
    if top not in sys.stdlib_module_names:
        return None
    if place not in (f"{code}/{top}.py", f"{code}/{top}/__init__.py"):
        return None
    shown, other = place[len(code) + 1 :], f"my_{top}" + ("" if place.endswith("__init__.py") else ".py")
    return f"`{shown}` hides Python's module `{top}`: call it {other}"


def for_wsgi(name: str) -> str:
    """How a WSGI application is served."""
    code = sys.path[0]
    vendor = next((each for each in VENDOR_DIRS if isdir(f"{code}/{each}")), None)
    how = f"pip install --target {vendor} a2wsgi" if vendor else "add a2wsgi to requirements.txt"
    return f"wrap it: {how}, then `import a2wsgi` and `{name} = a2wsgi.WSGIMiddleware({name})` at the end of the file"


def _own(top: str, code: str) -> str | None:
    """The place of a module in the bundle where Python does not look."""
    for path in python_files(code, "", 4):
        shown = path.replace("\\", "/")
        *folders, file = shown.split("/")
        parts = [*folders, file[:-3]]
        if "\\" in path and top in parts:
            return f"the bundle holds a file named `{path}`: pack it with / between folder and file"
        if top in parts[1:]:
            module = ".".join(parts[: parts.index(top, 1) + 1])
            return f"`{shown}` is in the bundle: import it as `{module}`, from the bundle's root"
        if parts[0] != top and parts[0].lower() == top.lower():
            return f"`{shown}` is in the bundle: write `{parts[0]}`, upper and lower case count"
        if parts[0] == top:
            return f"`{shown}` is in the bundle, but `{top}` was imported before that could be found"
    return None


def _part_of_python(top: str) -> str | None:
    release, package = REMOVED.get(top, (None, None))
    if release is not None:
        instead = f", or name {package} in requirements.txt" if package else ""
        return f"`{top}` left Python with {release}: choose an earlier `runtime`{instead}"
    if top in sys.stdlib_module_names:
        return f"`{top}` is a part of Python that functions do not have"
    return None


def _held_back(code: str) -> str | None:
    """Why what the function declares is not installed."""
    vendor = next((each for each in VENDOR_DIRS if isdir(f"{code}/{each}")), None)
    declared = [each for each in ("requirements.txt", "pyproject.toml") if isfile(f"{code}/{each}")]
    if vendor and declared:
        return f"{vendor}/ is in the bundle, so that {declared[0]} is not installed: remove one of the two"
    others = [each for each in ELSEWHERE if isfile(f"{code}/{each}") or isdir(f"{code}/{each}".rstrip("/"))]
    if others and not declared:
        return f"{others[0]} is not installed: name what is needed in requirements.txt"
    return None


def did_you_mean(name: str, known: list[str]) -> str | None:
    """The known name that was probably meant."""
    from difflib import get_close_matches

    by_lower = {item.lower(): item for item in known}
    close = get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None
