"""Next steps for common mistakes. Loaded only when something has gone wrong."""

from __future__ import annotations

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


def for_missing_module(name: str | None) -> str | None:
    """What to install when the import of a module failed."""
    if not name:
        return None
    top = name.partition(".")[0]
    package = PACKAGES.get(name) or PACKAGES.get(top) or top.replace("_", "-")
    return f"name it in requirements.txt, or vendor it beside the code: pip install --target vendor {package}"


def did_you_mean(name: str, known: list[str]) -> str | None:
    """The known name that was probably meant."""
    from difflib import get_close_matches

    by_lower = {item.lower(): item for item in known}
    close = get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None
