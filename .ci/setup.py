"""Make .venv ready: `make` calls it before everything else, with nothing but the system's python3.

A stamp remembers what was installed, so that every call but the first is instant. Old syntax on purpose:
a Python that is too old gets a sentence and not a syntax error.
"""

import hashlib
import os
import subprocess
import sys
import time

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "installed")
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
STARTED = time.time()


def main():
    if sys.version_info < OLDEST:
        sys.exit(
            f"Python 3.11 or newer is needed, and this is {sys.version.split()[0]}. "
            "Name another one: make PYTHON=python3.12 ..."
        )
    os.chdir(ROOT)
    wanted = fingerprint()
    if installed() == wanted and runs(PYTHON):
        return
    if not runs(PYTHON):
        step(f"creating .venv with Python {sys.version.split()[0]}")
        make_venv()
    step("installing uv")
    has_uv = attempt([PYTHON, "-m", "pip", "install", "--quiet", "uv"])
    step("installing the packages of requirements-dev.txt")
    install(has_uv)
    step("checking that the packages fit together")
    if not attempt([PYTHON, "-m", "pip", "check"]):
        sys.exit("pip check found packages that contradict each other (above).")
    with open(STAMP, "w") as stamp:
        stamp.write(wanted)
    step("ready")


def fingerprint():
    digest = hashlib.sha256(ROOT.encode())
    for name in REQUIREMENTS:
        with open(name, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def installed():
    try:
        with open(STAMP) as stamp:
            return stamp.read()
    except OSError:
        return ""


def runs(python):
    script = f"import pip, sys; sys.exit(sys.version_info < {OLDEST})"
    return os.path.exists(python) and attempt([python, "-c", script], quiet=True)


def make_venv():
    if not attempt([sys.executable, "-m", "venv", "--clear", VENV]):
        sys.exit("python3 could not make a virtual environment; on Debian and Ubuntu: install python3-venv.")


def install(has_uv):
    if has_uv:
        if attempt(
            [PYTHON, "-m", "uv", "pip", "install", "--quiet", "--python", PYTHON, "-r", REQUIREMENTS[1]]
        ):
            return
        step("uv could not; trying pip (slower)")
    if not attempt([PYTHON, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS[1]]):
        sys.exit("The packages could not be installed (above).")


def attempt(command, quiet=False):
    environ = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_ROOT_USER_ACTION="ignore")
    environ.setdefault("UV_LINK_MODE", "copy")
    if not os.access(os.path.expanduser("~"), os.W_OK):
        environ.setdefault("UV_CACHE_DIR", os.path.join(VENV, "cache"))
        environ.setdefault("PIP_NO_CACHE_DIR", "1")
    if environ.get("PIP_INDEX_URL"):
        environ.setdefault("UV_DEFAULT_INDEX", environ["PIP_INDEX_URL"])
    output = subprocess.DEVNULL if quiet else None
    return subprocess.call(command, env=environ, stdout=output, stderr=output) == 0


def step(text):
    print(f"[{time.time() - STARTED:5.1f} s] {text}", flush=True)


if __name__ == "__main__":
    main()
