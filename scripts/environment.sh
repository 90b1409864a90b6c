# shellcheck shell=bash
# For sourcing by the scripts beside it: finds a Python, makes its virtual environment inside the checkout,
# installs Debian packages. Everything but those packages stays under .cache/ of the checkout.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" # nginx and sshd live there; not in everybody's PATH
export PIP_CACHE_DIR=$cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV

say() { printf '%s\n' "== $*" >&2; }
fail() {
    printf '%s\n' "Error: $*" >&2
    exit 1
}

# python_version PYTHON: prints "3.11" where that runs and is new enough.
python_version() {
    "$1" -c 'import sys; v = sys.version_info; print(f"{v[0]}.{v[1]}") if v >= (3, 10) else sys.exit(1)' 2>/dev/null
}

# find_python [VERSION|PATH]: prints its path. Debian's own comes first: built with profile-guided and link-time
# optimisation, it needs 15 to 25 % less CPU than one compiled without.
find_python() {
    local wanted=${1-} candidate
    local -a candidates
    case $wanted in
        '') candidates=(/usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11 python3.10) ;;
        */*) candidates=("$wanted") ;;
        *) candidates=("/usr/bin/python$wanted" "python$wanted" "${HOME-}/.pyenv/versions/$wanted"*/bin/python) ;;
    esac
    for candidate in "${candidates[@]}"; do
        candidate=$(command -v -- "$candidate") || continue
        python_version "$candidate" >/dev/null || continue
        if [[ $wanted =~ ^[0-9.]+$ && $(python_version "$candidate") != "$wanted" ]]; then
            continue
        fi
        printf '%s\n' "$candidate"
        return
    done
    fail "no Python ${wanted:-3.10 or newer} found; on Debian: apt-get install python3 python3-venv"
}

# as_root COMMAND...: as it is when root, else by sudo where that asks no password; fails where neither goes.
as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo -n "$@"
    fi
}

can_install() {
    command -v apt-get >/dev/null && { ((EUID == 0)) || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }; }
}

# install_packages PACKAGE...: the services among them are neither started nor enabled: tests start their own.
install_packages() {
    local -a units=() missing_units=()
    local package unit
    can_install || fail "these Debian packages are missing, and only root can install them: apt-get install $*"
    say "installing Debian packages: $*"
    for package in "$@"; do
        case $package in
            nginx | haproxy | prometheus) units+=("$package.service") ;;
            openssh-server) units+=(ssh.service ssh.socket) ;;
            postgresql) units+=(postgresql.service) ;;
            redis-server) units+=(redis-server.service) ;;
            rsync) units+=(rsync.service) ;;
        esac
    done
    if [[ -d /run/systemd/system ]]; then
        for unit in "${units[@]}"; do
            systemctl cat "$unit" >/dev/null 2>&1 || missing_units+=("$unit")
        done
    fi
    ((${#missing_units[@]} == 0)) || as_root systemctl mask --runtime --quiet "${missing_units[@]}"
    apt_get install "$@" || { apt_get update && apt_get install "$@"; } || fail "apt-get could not install: $*"
    if ((${#missing_units[@]} != 0)); then
        as_root systemctl unmask --runtime --quiet "${missing_units[@]}"
        as_root systemctl disable --quiet "${missing_units[@]}" 2>/dev/null || true
    fi
}

# Without systemd, a run level of 1 keeps invoke-rc.d from starting anything.
apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" </dev/null >&2
}

# npm_package NAME VERSION: brings its files to .cache/npm/NAME-VERSION/package, without what it depends on.
npm_package() {
    local directory=$cache/npm/$1-$2
    [[ ! -d $directory/package ]] || return 0
    command -v npm >/dev/null || install_packages npm
    say "getting $1 $2"
    rm -rf -- "$directory.new"
    mkdir -p -- "$directory.new"
    (cd -- "$directory.new" && npm pack --silent --cache "$cache/npm/cache" "$1@$2" >/dev/null 2>&1 && tar -xzf ./*.tgz) ||
        fail "npm could not get $1 $2: is the network there?"
    rm -rf -- "$directory"
    mv -- "$directory.new" "$directory"
}

# make_environment NAME PYTHON REQUIREMENTS...: prints the path of its python. Made anew only when the Python or
# one of the requirements has changed.
make_environment() {
    local name=$1 python=$2 version directory stamp
    shift 2
    version=$(python_version "$python") || fail "$python is no Python 3.10 or newer"
    directory=$cache/$name-$version
    stamp=$({ printf '%s\n' "$directory" "$(readlink -f -- "$python")" && "$python" -VV && cat -- "$@"; } | sha256sum)
    if [[ $stamp == "$(cat -- "$directory/stamp" 2>/dev/null)" ]]; then
        printf '%s\n' "$directory/bin/python" # made already, perhaps by another user, who alone may write there
        return
    fi
    mkdir -p -- "$cache" 2>/dev/null || true
    [[ -w $cache ]] || fail "$cache cannot be written to by this user: run this once as its owner"
    exec 9>"$cache/$name-$version.lock"
    flock 9 # two scripts at once: the second waits, and finds it made
    if [[ $stamp != "$(cat -- "$directory/stamp" 2>/dev/null)" ]]; then
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            [[ $python == /usr/bin/* ]] || fail "$python has no ensurepip: it cannot make virtual environments"
            install_packages "python$version-venv"
        fi
        say "making $directory with $("$python" -V) ($python)"
        "$python" -m venv --clear -- "$directory" >&2
        "$directory/bin/python" -m pip install --quiet --quiet "${@/#/--requirement=}" >&2 ||
            fail "pip could not install what $* names: is the network there?"
        printf '%s\n' "$stamp" >"$directory/stamp"
    fi
    exec 9>&-
    printf '%s\n' "$directory/bin/python"
}
