#!/bin/sh
# Installs Sluice as a service of systemd: server or client, in /opt/sluice, with its configuration in /etc/sluice.
# One file that needs nothing beside it, so that it can be fetched alone; `install.sh --help` tells the rest.
set -eu

usage() {
    cat <<'END'
Usage: install.sh server --domain NAME [--mode http|tcp|both] [OPTIONS]
       install.sh client --url URL --token-file FILE --ca-fingerprint HEX --upstream TARGET [OPTIONS]
       install.sh update [--token-file FILE] [OPTIONS]
       install.sh [server|client] --uninstall [--keep-data]

Installs Sluice, or brings it up to date: configuration, token and state stay, and an update that does not come up
again is undone. Asks nothing, so it needs no terminal. Doing it twice does nothing more. As root.
With update, --token-file gives a new token to all that is installed here.

Server:
  --domain NAME            Name or address under which this machine is reached. Again for further names.
  --mode http|tcp|both     What visitors come by.  [default: http]
  --port PORT              Port for visitors by HTTP.  [default: 8000; 80 and 443 with --letsencrypt]
  --control-port PORT      Port for clients.  [default: 8123]
  --allow-ports PORTS      Ports that clients may open, like 2222,5432, with --mode tcp or both. Again for more.
  --letsencrypt            Get certificates for each --domain that is a name from Let's Encrypt, whose terms you
                           accept with it.
  --letsencrypt-email ADDRESS
                           Where it may write to about them.
  --letsencrypt-issuer prod|staging|URL
                           Who issues.  [default: prod]
  --token-file FILE        File with the token.  [default: one is made]
Client:
  --url URL                The server: wss://host:8123.
  --token-file FILE        File with the server's token.
  --ca-fingerprint HEX     Of the server's authority.  [default: the one of the first use is believed]
  --upstream [NAME|PORT=]TARGET
                           What visitors reach, like app.example.com=http://127.0.0.1:3000. Again for more.
  --mode http|tcp|both     What is offered.  [default: both]
Both:
  --config FILE            Take this TOML file as the configuration, in place of the flags above.
  --replace-config         Also where the one in /etc/sluice was edited; that is kept beside it, as .old.
  --source PATH|URL        Where the program is from: a checkout, a wheel, or the https:// address of a wheel.
                           [default: the checkout that this script lies in]
  --source-sha256 HEX      What that wheel must be.
  --wheels DIRECTORY       Take what the program needs from here, and ask no package index.
  --python PATH            The Python to use, 3.10 or newer.  [default: /usr/bin/python3]
  --any-system             Go on where this system is not supported.
How:
  --dry-run                Check all that can be checked, say what would be done, and do nothing.
  --no-start               Install, but start nothing.
  --root DIRECTORY         Install into the root tree there, with this machine's Python. Starts nothing.
  --uninstall              Remove what this script has made: program, configuration, token, state, user.
  --keep-data              ... but leave these: /etc/sluice, /var/lib/sluice, and the user sluice.
  --help                   This text.

Supported: Debian 12 and 13, Ubuntu 22.04 and 24.04, Raspberry Pi OS 64-bit (12 and 13), on x86-64 and 64-bit ARM.
Not supported: 32-bit systems, older releases, other distributions, init systems other than systemd.
Exit status: 0 done; 1 failed, and what ran before still does; 2 wrong arguments or configuration, and nothing was done.
END
}

# Whoever reads this may be gone, which must not keep things from being put back.
say() { printf '%s\n' "== $*" >&2 || :; }
note() { printf '%s\n' "   $*" >&2 || :; }
fail() {
    printf '%s\n' "Error: $*" >&2
    exit 1
}
wrong() {
    printf '%s\n' "Error: $*" >&2
    exit 2
}

# ---- arguments

role='' mode='' token_file='' config_file='' shown_arguments=''
# What can be given several times has a line for each.
domains='' port='' control_port='' allowed='' letsencrypt=0 email='' issuer=''
url='' fingerprint='' upstreams=''
source_given='' sha256='' wheels='' python='' tree=''
dry_run=0 no_start=0 uninstall=0 keep_data=0 replace=0 any_system=0

parse() {
    while [ $# -gt 0 ]; do
        option=$1
        shift
        case $option in
            -h | --help)
                usage
                exit 0
                ;;
            server | client | update)
                [ -z "$role" ] || wrong "$role or $option, not both: install one after the other"
                role=$option
                ;;
            --dry-run) dry_run=1 ;;
            --no-start) no_start=1 ;;
            --uninstall) uninstall=1 ;;
            --keep-data) keep_data=1 ;;
            --replace-config) replace=1 ;;
            --any-system) any_system=1 ;;
            --letsencrypt)
                letsencrypt=1
                shown_arguments="$shown_arguments $option"
                ;;
            --*=*) value_option "${option%%=*}" "${option#*=}" ;;
            --*)
                [ $# -gt 0 ] || value_option "$option" ''
                value_option "$option" "$1"
                shift
                ;;
            *) wrong "$option is not understood: server, client or update is wanted (--help tells more)" ;;
        esac
    done
}

value_option() {
    case $2 in
        *[[:cntrl:]]*) wrong "$1: its value has a control character" ;;
    esac
    case $1 in
        --domain) domains=$(one_more "$domains" "$2") ;;
        --upstream) upstreams=$(one_more "$upstreams" "$2") ;;
        --allow-ports) allowed=$(one_more "$allowed" "$2") ;;
        --mode) mode=$2 ;;
        --url) url=$2 ;;
        --port) port=$2 ;;
        --control-port) control_port=$2 ;;
        --ca-fingerprint) fingerprint=$2 ;;
        --letsencrypt-email) email=$2 letsencrypt=1 ;;
        --letsencrypt-issuer) issuer=$2 letsencrypt=1 ;;
        --token-file) token_file=$2 ;;
        --config) config_file=$2 ;;
        --source) source_given=$2 ;;
        --source-sha256) sha256=$2 ;;
        --wheels) wheels=$2 ;;
        --python) python=$2 ;;
        --root) tree=$2 ;;
        --token) wrong "--token would show the token to others: write it to a file, and name that with --token-file" ;;
        --letsencrypt | --dry-run | --no-start | --uninstall | --keep-data | --replace-config | --any-system)
            wrong "$1 takes no value"
            ;;
        *) wrong "there is no option $1 (--help shows all)" ;;
    esac
    [ -n "$2" ] || wrong "$1 needs a value"
    case $1 in
        --domain | --upstream | --allow-ports | --mode | --url | --*port | --ca-fingerprint | --letsencrypt*)
            shown_arguments="$shown_arguments $1"
            ;;
    esac
}

one_more() { printf '%s\n' "${1:+$1
}$2"; }

# has LIST WORD: among words between spaces.
has() {
    case " $1 " in
        *" $2 "*) ;;
        *) return 1 ;;
    esac
}

# matches TEXT REGEX: all of it.
matches() { printf '%s\n' "$1" | grep -Eqx -e "$2"; }

of_role() { # of_role ROLE FLAG VALUE: a flag that the other role does not have
    [ -z "$3" ] || [ "$role" = "$1" ] || wrong "$2 is for: install.sh $1"
}

check_arguments() {
    if [ -n "$tree" ]; then
        [ -d "$tree" ] || wrong "--root $tree is no directory"
        tree=$(cd -- "$tree" && pwd) no_start=1
        [ "$tree" != / ] || tree=
    fi
    if [ "$uninstall" = 1 ]; then
        [ "$role" != update ] || wrong "--uninstall goes with server, client, or neither for both"
        [ -z "$shown_arguments$token_file$config_file" ] || wrong "--uninstall needs no other flags"
        return
    fi
    [ -n "$role" ] || wrong "say what this machine is to be: install.sh server, or client (--help tells more)"
    [ "$keep_data" = 0 ] || wrong "--keep-data goes with --uninstall"
    [ "$role" != update ] || [ -z "$shown_arguments$config_file" ] ||
        wrong "update keeps the configuration:${shown_arguments:- --config} cannot go with it"
    for flag in domain:"$domains" port:"$port" control-port:"$control_port" allow-ports:"$allowed"; do
        of_role server "--${flag%%:*}" "${flag#*:}"
    done
    [ "$letsencrypt" = 0 ] || of_role server --letsencrypt yes
    for flag in url:"$url" ca-fingerprint:"$fingerprint" upstream:"$upstreams"; do
        of_role client "--${flag%%:*}" "${flag#*:}"
    done
    [ -z "$config_file" ] || [ -z "$shown_arguments" ] || wrong "--config stands for these: leave out$shown_arguments"
    [ -z "$config_file" ] || { [ -f "$config_file" ] && [ -r "$config_file" ]; } ||
        wrong "--config $config_file cannot be read, or is no file"
    case $mode in
        '' | http | tcp | both) ;;
        *) wrong "--mode $mode: http, tcp or both is wanted" ;;
    esac
    check_values
    check_token_file
    check_source
}

# ---- what flags say: as far as it can be known before there is a program that knows it all

is_port() { matches "$1" '[1-9][0-9]{0,4}' && [ "$1" -le 65535 ]; }

is_address() {
    byte='(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
    matches "$1" "($byte\.){3}$byte" ||
        matches "$1" '[0-9A-Fa-f]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*'
}

is_name() {
    matches "$1" '(([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?' &&
        [ "${#1}" -le 253 ] && ! matches "$1" '(.*\.)?[0-9]+\.?'
}

check_values() {
    for flag in port:"$port" control-port:"$control_port"; do
        [ -z "${flag#*:}" ] || is_port "${flag#*:}" ||
            wrong "--${flag%%:*} ${flag#*:}: a port is wanted, 1 to 65535"
    done
    [ "$mode" != tcp ] || [ -z "$port" ] || wrong "--port is for visitors by HTTP, and goes not with --mode tcp"
    [ "$mode" != tcp ] || [ "$letsencrypt" = 0 ] || wrong "--letsencrypt is for visitors by HTTP, not for --mode tcp"
    check_ports_differ
    [ -z "$allowed" ] || [ "$mode" = tcp ] || [ "$mode" = both ] || wrong "--allow-ports goes with --mode tcp or both"
    each_line "$allowed" check_allowed
    each_line "$domains" check_domain
    [ "$letsencrypt" = 0 ] || [ -z "$domains" ] || [ -n "$(each_line "$domains" print_name)" ] ||
        wrong "--letsencrypt is for names, and --domain gives addresses alone"
    [ -z "$email" ] || matches "$email" '[^][:space:]@,<>?]+@[^][:space:]@,<>?]+' ||
        wrong "--letsencrypt-email $email is no e-mail address"
    [ -z "$issuer" ] || matches "$issuer" 'prod|staging|https://[^/[:space:]]+(/.*)?' ||
        wrong "--letsencrypt-issuer $issuer: prod, staging, or the https:// address of an ACME directory is wanted"
    [ -z "$url" ] || matches "$url" '((wss?|https?)://)?[^]/@?#[:space:]]+(\]?(:[0-9]+)?)(/(connect)?)?' ||
        wrong "--url $url: the server's address is wanted, like wss://home.example.com:8123"
    [ -z "$fingerprint" ] || check_fingerprint
}

# each_line LINES COMMAND: the command with each of them.
each_line() {
    printf '%s' "${1:+$1
}" | while IFS= read -r line; do "$2" "$line" || exit; done || exit
}

check_domain() {
    is_address "$1" || is_name "$1" || wrong "--domain $1: a name like home.example.com is wanted, or an address"
}

print_name() { is_address "$1" || printf '%s\n' "$1"; }

check_ports_differ() {
    [ "$role" = server ] && [ -z "$config_file" ] && [ "$mode" != tcp ] || return 0
    if [ "$letsencrypt" = 1 ]; then others="${port:-80} 443"; else others=${port:-8000}; fi
    [ "$letsencrypt" = 0 ] || [ "$port" != 443 ] || wrong "--port 443: that one is for https://, and --port for http://"
    for each in $others; do
        [ "${control_port:-8123}" != "$each" ] ||
            wrong "port $each would be for visitors and for clients: give another --port or --control-port"
    done
}

check_allowed() {
    matches "$1" '([^,]+)(,[^,]+)*' || wrong "--allow-ports $1: ports are wanted, like 2222,5432 or 8000-8100"
    printf '%s\n' "$1" | tr ',' '\n' | tr -d ' ' | while read -r piece; do
        [ "$piece" != '*' ] || continue
        if is_port "${piece%%-*}" && is_port "${piece#*-}" && [ "${piece%%-*}" -le "${piece#*-}" ]; then continue; fi
        wrong "--allow-ports $1: ports are wanted, 1 to 65535, like 2222,5432 or 8000-8100"
    done || exit
}

check_fingerprint() {
    digits=$(printf '%s' "$fingerprint" | sed -E 's/^sha-?256( fingerprint)?[:= ] *//I' | tr -d ':')
    matches "$digits" '[0-9A-Fa-f]{64}' ||
        wrong "--ca-fingerprint $fingerprint: the 64 hex digits are wanted that the server's installation has shown"
}

check_token_file() {
    [ -n "$token_file" ] || return 0
    [ ! -d "$token_file" ] || wrong "--token-file $token_file is a directory: the file in it is wanted"
    [ -r "$token_file" ] || wrong "--token-file $token_file cannot be read"
    [ ! -p "$token_file" ] || wrong "--token-file $token_file is a pipe, which can be read only once: name a file"
    [ -n "$(tr -d '[:space:]' <"$token_file")" ] || wrong "--token-file $token_file is empty"
    [ "$(tr -d '\r' <"$token_file" | LC_ALL=C grep -Ecvx '[!-~]([ -~]*[!-~])?')$(grep -c '' <"$token_file")" = 01 ] ||
        wrong "--token-file $token_file: the token must be one line of ASCII letters, digits and signs"
}

check_source() {
    [ -z "$wheels" ] || [ -d "$wheels" ] || wrong "--wheels $wheels is no directory"
    [ -z "$sha256" ] || matches "$sha256" '[0-9A-Fa-f]{64}' || wrong "--source-sha256 $sha256: 64 hex digits are wanted"
    case $source_given in
        https://*) ;;
        http://*) [ -n "$sha256" ] || wrong "--source http://... can be tampered with: add --source-sha256" ;;
        '')
            # shellcheck disable=SC1007
            source_given=$(CDPATH= cd -- "$(dirname -- "$0")/.." 2>/dev/null && pwd) || source_given=
            [ -f "$source_given/appliance/__init__.py" ] ||
                wrong "this script lies in no checkout of Sluice: say with --source where the program is"
            ;;
        *) [ -e "$source_given" ] || wrong "--source $source_given does not exist" ;;
    esac
    if [ -d "$source_given" ]; then
        [ -f "$source_given/appliance/__init__.py" ] || wrong "--source $source_given is no checkout of Sluice"
        [ -z "$sha256" ] || wrong "--source-sha256 is for a wheel, and --source $source_given is a directory"
    else
        case ${source_given%%[?#]*} in
            *.whl) ;;
            *) wrong "--source $source_given is neither a checkout nor a wheel (.whl)" ;;
        esac
    fi
}

# What a first installation cannot do without.
check_complete() {
    [ "$role" != update ] && [ ! -e "$etc/$role.toml" ] && [ -z "$config_file" ] || return 0
    case $role in
        server) [ -n "$domains" ] || wrong "--domain is missing: name or address of this machine for others" ;;
        client)
            [ -n "$url" ] || wrong "--url is missing: the server's address, like wss://home.example.com:8123"
            [ -n "$upstreams" ] || wrong "--upstream is missing: what visitors reach, like http://127.0.0.1:3000"
            [ -n "$token_file" ] || [ -e "$etc/token" ] || wrong "--token-file is missing: the server's token"
            ;;
    esac
}

# ---- the system

check_system() {
    [ "$(id -u)" = 0 ] || [ -n "$tree" ] || { [ "$dry_run" = 1 ] && { [ ! -d "$etc" ] || [ -x "$etc" ]; }; } ||
        fail "this needs root: sudo sh $0 ..."
    release=$tree/etc/os-release
    [ -r "$release" ] || release=$tree/usr/lib/os-release
    [ -r "$release" ] || release=/dev/null
    system=$(sed -n 's/^ID=//p' "$release" | tr -d '"')
    number=$(sed -n 's/^VERSION_ID=//p' "$release" | tr -d '"')
    machine=$(uname -m)
    ! command -v dpkg >/dev/null || machine=$(dpkg --print-architecture) # a 64-bit kernel may run a 32-bit system
    problem=
    case $machine in
        amd64 | arm64 | x86_64 | aarch64) ;;
        *) problem="$machine is not supported: 64-bit systems are, x86-64 and ARM" ;;
    esac
    case $system-$number in
        debian-12 | debian-13 | ubuntu-22.04 | ubuntu-24.04) ;;
        *)
            problem="${system:-an unknown system} ${number:-without a release number} is not supported: Debian 12 and"
            problem="$problem 13, Ubuntu 22.04 and 24.04, Raspberry Pi OS 64-bit are"
            ;;
    esac
    [ -z "$problem" ] || [ "$uninstall" = 1 ] || {
        [ "$any_system" = 1 ] || fail "$problem. --any-system tries it all the same"
        note "$problem. Going on, as --any-system says"
    }
    systemd=0
    if [ -z "$tree" ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
        systemd=1
    elif [ "$no_start$uninstall" = 00 ]; then
        note "systemd does not run here: nothing will be started"
        no_start=1
    fi
}

python_is_new() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

# The Python to use, and in $missing the Debian packages that lack.
find_python() {
    missing=
    if [ -n "$python" ]; then
        python=$(command -v -- "$python") || wrong "--python: there is no such program"
        python_is_new "$python" || wrong "--python $python is no Python 3.10 or newer"
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            wrong "--python $python has no ensurepip: take one that has"
    else
        python=/usr/bin/python3
        [ -x "$python" ] || missing=" python3"
        [ ! -x "$python" ] || python_is_new "$python" || fail "$python is older than 3.10: name another with --python"
        "$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
    fi
    [ -n "$wheels" ] || [ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"
}

install_packages() {
    [ -n "$missing" ] || return 0
    [ "$(id -u)" = 0 ] || fail "these packages are missing, and root alone can install them:$missing"
    command -v apt-get >/dev/null || fail "these packages are missing, and there is no apt-get:$missing"
    say "installing Debian packages:$missing"
    dpkg-query --show --showformat '${Package}\n' | sort >"$work/packages"
    # shellcheck disable=SC2086  # several
    apt_get install $missing || { apt_get update && apt_get install $missing; } || {
        grep -E '^[EW]:' "$work/apt.log" | tail -n 5 >&2 || tail -n 5 "$work/apt.log" >&2
        fail "apt-get could not install:$missing. Nothing else was done"
    }
    make_own_directory
    dpkg-query --show --showformat '${Package}\n' | sort | comm -13 "$work/packages" - >>"$opt/installed/packages"
    python_is_new "$python" || fail "$python is older than 3.10: name another with --python"
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -q -y -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >"$work/apt.log" 2>&1
}

# make_directory PATH MODE [OWNER]: with those above it. What was not there is noted, at once: --uninstall removes that.
make_directory() {
    if [ ! -d "$1" ]; then
        [ -d "$(dirname -- "$1")" ] || make_directory "$(dirname -- "$1")" 755
        mkdir -- "$1"
        printf '%s\n' "${1#"$tree"}" >>"$work/directories"
        record_directories
    fi
    [ "$2" = 755 ] || chmod "$2" -- "$1"
    [ -z "${3-}" ] || own "$3" "$1"
}

record_directories() {
    [ -d "$opt/installed" ] || return 0
    cat "$opt/installed/directories" "$work/directories" 2>/dev/null | sort -u >"$work/all"
    cmp -s -- "$work/all" "$opt/installed/directories" || cp -- "$work/all" "$opt/installed/directories"
}

# /opt/sluice/installed: what this script made. Where that is, /opt/sluice is its own.
make_own_directory() {
    make_directory "$opt" 755
    make_directory "$opt/installed" 755
    [ ! -e "$etc/.kept" ] || { # by --uninstall --keep-data
        cat -- "$etc/.kept" >>"$work/directories"
        record_directories
        rm -f -- "$etc/.kept"
    }
}

check_own_directory() {
    [ -d "$opt" ] && [ ! -d "$opt/installed" ] && [ -n "$(ls -A -- "$opt")" ] || return 0
    [ ! -e "$opt/pyvenv.cfg" ] ||
        wrong "/opt/sluice was not made by this script, but by cloud-init or by hand: its own pip updates it, or this" \
            "script takes it over: docs/upgrading.md tells how"
    wrong "/opt/sluice was not made by this script: move it away (mv /opt/sluice /opt/sluice.old), and do this again"
}

# own OWNER FILE: in a root tree, by its own user's number; not at all for those who may not.
own() {
    [ "$(id -u)" = 0 ] || return 0
    owner=$(awk -F: -v name="${1%%:*}" '$1 == name {print $3}' "$tree/etc/passwd")
    group=$(awk -F: -v name="${1#*:}" '$1 == name {print $3}' "$tree/etc/group")
    chown -h "$owner:$group" -- "$2"
}

make_user() {
    if grep -q '^sluice:' "$tree/etc/passwd" 2>/dev/null; then
        [ "$(sed -n 's/^sluice:[^:]*:\([0-9]*\):.*/\1/p' "$tree/etc/passwd")" -lt 1000 ] ||
            fail "there is a person called sluice on this machine: the service needs that name for a user of its own"
    elif [ "$(id -u)" != 0 ]; then
        note "not being root: the user sluice is not made, and owners are not set"
    else
        useradd ${tree:+--prefix "$tree"} --system --user-group --no-create-home --home-dir /var/lib/sluice \
            --shell /usr/sbin/nologin --comment "Sluice tunnels" sluice >"$work/useradd.log" 2>&1 ||
            fail "the user sluice could not be made: $(cat "$work/useradd.log")"
    fi
}

# ---- the program: /opt/sluice/versions/NAME, and the link `current` to one of them

# Where it is from, in $work/source: a directory or a wheel.
bring_source() {
    mkdir -- "$work/source"
    case $source_given in
        http://* | https://*)
            wheel=$(basename -- "${source_given%%[?#]*}")
            "$python" -I - "$source_given" "$work/source/$wheel" <<'END' || fail "--source: this could not be fetched"
import shutil, sys, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=60) as answer, open(sys.argv[2], "wb") as file:
        shutil.copyfileobj(answer, file)
except (OSError, ValueError) as error:
    sys.exit(f"{error}")
END
            source=$work/source/$wheel
            ;;
        *.whl)
            cp -- "$source_given" "$work/source/"
            source=$work/source/$(basename -- "$source_given")
            ;;
        *)
            source=$work/source/checkout
            mkdir -- "$source"
            tar -c -C "$source_given" --exclude __pycache__ appliance web setup.py pyproject.toml README.md \
                requirements.txt | tar -x -C "$source" --no-same-owner
            ;;
    esac
    [ -z "$sha256" ] || [ "$(sha256sum <"$source" | cut -c 1-64)" = "$(printf '%s' "$sha256" | tr A-F a-f)" ] ||
        fail "--source is not what --source-sha256 says: it is $(sha256sum <"$source" | cut -c 1-64)"
}

# A name that says all that a version depends on, so that the same is not built twice.
name_version() {
    if [ -d "$source" ]; then
        version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$source/appliance/__init__.py")
        content=$(cd -- "$source" && find . -type f | LC_ALL=C sort | tr '\n' '\0' | xargs -0 sha256sum)
        # The commit, which the copy cannot know; built in, but not part of the name.
        "$python" -I - "$source_given" "$source/appliance/config/build_sha.txt" <<'END' || :
import pathlib, sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
from appliance.config.build import sha
pathlib.Path(sys.argv[2]).write_text(sha() + "\n")
END
    else
        version=$(basename -- "$source" | cut -d - -f 2)
        content=$(sha256sum <"$source")
    fi
    stamp=$({ printf '%s\n' "$content" && "$python" -VV && readlink -f -- "$python"; } | sha256sum | cut -c 1-10)
    program=$opt/versions/$version-$stamp
}

build_program() {
    [ ! -e "$program/.complete" ] || return 0
    built=$program
    say "installing Sluice $version in ${program#"$tree"}"
    make_directory "$opt/versions" 755
    rm -rf -- "$program"
    unfinished=$program
    # A user's own settings for pip do not count; the machine's do, for it may need its mirror: /etc/pip.conf.
    set -- env HOME="$work" XDG_CONFIG_HOME="$work" "$program/bin/python" -I -m pip --isolated install --no-user \
        --quiet --quiet --no-cache-dir --no-input --disable-pip-version-check
    [ -z "$wheels" ] || set -- "$@" --no-index --find-links "$wheels"
    {
        "$python" -I -m venv -- "$program" &&
            if [ -d "$source" ]; then
                "$@" --requirement "$source/requirements.txt" && "$@" --no-deps "$source"
            else
                "$@" "${source}[acme]"
            fi &&
            sluice version
    } >"$work/build.log" 2>&1 || {
        tail -n 15 "$work/build.log" >&2
        still=${roles_before:+" What ran before, $running, still does"}
        fail "Sluice $version could not be installed; above is why.$still"
    }
    if [ -n "$tree" ]; then # there, it is where it is for others
        for file in "$program"/bin/* "$program/pyvenv.cfg"; do
            [ -h "$file" ] || sed -i "s|$tree/opt/sluice|/opt/sluice|g" "$file"
        done
    fi
    chmod -R go-w,a+rX -- "$program"
    touch "$program/.complete"
    unfinished=
}

# By its Python, since in a root tree its first line names a place that is none here; and never what lies about.
sluice() { "$program/bin/python" -I -m appliance "$@"; }

# link_to TARGET LINK: at once, or not at all.
link_to() {
    ln -s -f -n -- "$1" "$2.new"
    mv -f -T -- "$2.new" "$2"
}

# ---- configuration

configured_by_flags() { [ -n "$shown_arguments$config_file" ]; }

# quoted TEXT: as TOML has it. listed LINES: a TOML list's inside.
quoted() { printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"; }
listed() { printf '%s\n' "$1" | sed 's/[\\"]/\\&/g; s/.*/"&"/' | paste -s -d , - | sed 's/","/", "/g'; }

write_config() {
    if [ -n "$config_file" ]; then
        cat -- "$config_file"
        return
    fi
    case $mode in
        http | tcp) words="$mode $role" ;;
        both) words=$role ;;
        *) if [ "$role" = server ]; then words="http server"; else words=client; fi ;;
    esac
    printf '# For sluice %s: each key is a flag, which sluice %s --help tells.\n' "$words" "$words"
    printf '# After a change: systemctl reload sluice-%s; after one of ports or addresses: install.sh update.\n' "$role"
    printf 'command = "%s"\ntoken-file = "/etc/sluice/token"\n' "$words"
    if [ "$role" = server ]; then
        [ -z "$domains" ] || printf 'auto-tls-san = [%s]\n' "$(listed "$domains")"
        [ -z "$port" ] || printf 'port = %s\n' "$port"
        [ -z "$control_port" ] || printf 'control-port = %s\n' "$control_port"
        [ -z "$allowed" ] || printf 'allow-ports = [%s]\n' "$(listed "$allowed")"
        if [ "$letsencrypt" = 1 ]; then
            printf 'letsencrypt-domain = [%s]\n' "$(listed "$(each_line "$domains" print_name)")"
            [ -z "$email" ] || printf 'letsencrypt-email = %s\n' "$(quoted "$email")"
            [ -z "$issuer" ] || printf 'letsencrypt-issuer = %s\n' "$(quoted "$issuer")"
        fi
    else
        printf 'url = %s\n' "$(quoted "$url")"
        [ -z "$fingerprint" ] || printf 'ca-fingerprint = %s\n' "$(quoted "$fingerprint")"
        printf 'upstream = [%s]\n' "$(listed "$upstreams")"
    fi
}

# The configuration that a role is to have, in $work/ROLE.toml. What somebody edited is not overwritten unasked.
choose_config() {
    old=$etc/$1.toml
    if ! is_written "$1"; then
        cp -- "$old" "$work/$1.toml"
        return
    fi
    if [ -e "$old" ] && [ -z "$config_file" ]; then # flags replace all of it, so all of them are wanted
        case $role in
            server) [ -n "$domains" ] || wrong "--domain is missing beside$shown_arguments" ;;
            client)
                if [ -z "$url" ] || [ -z "$upstreams" ]; then wrong "--url and --upstream belong together"; fi
                ;;
        esac
    fi
    write_config >"$work/$1.toml"
    [ -e "$old" ] && ! cmp -s -- "$old" "$work/$1.toml" && [ "$replace" = 0 ] && was_edited "$1" || return 0
    wrong "/etc/sluice/$1.toml was edited, and is left as it is: leave out${shown_arguments:- --config}, or add" \
        "--replace-config"
}

# Whether the arguments say what is in a role's configuration, or that stays.
is_written() { [ "$1" = "$role" ] && { [ ! -e "$etc/$1.toml" ] || configured_by_flags; }; }
was_edited() { [ "$(sha256sum <"$etc/$1.toml")" != "$(cat "$opt/installed/$1.config" 2>/dev/null)" ]; }

# The token that is to be, where the configurations that are to be look for it.
choose_token() {
    token=$stage/etc/sluice/token new_token=0
    if [ -n "$token_file" ]; then
        cp -- "$token_file" "$token"
        [ ! -e "$etc/token" ] || [ "$(cat -- "$etc/token")" != "$(cat -- "$token")" ] || return 0
        [ ! -s "$etc/token" ] || [ "$role" = update ] || [ ! -e "$etc/$other.toml" ] ||
            wrong "--token-file: the $other on this machine has another token, and /etc/sluice/token is for both. To" \
                "give this one to both: install.sh update --token-file $(word "$token_file")"
        new_token=1
    elif [ -s "$etc/token" ]; then
        ln -s -- "$etc/token" "$token"
    elif [ "$role" = server ]; then
        head -c 32 /dev/urandom | base64 >"$token"
        new_token=1
    fi
}

place_token() {
    if [ "$new_token" = 0 ]; then
        [ ! -e "$etc/token" ] || chmod 600 -- "$etc/token"
        return 0
    fi
    [ -n "$token_file" ] || note "a token was made: /etc/sluice/token"
    put_in_place "$token" "$etc/token" 600 root:root
    changed=$roles
}

# put_in_place FILE TARGET MODE [OWNER]: at once, or not at all. In /etc/sluice it is noted as ours, for --uninstall.
put_in_place() {
    (umask 077 && cat -- "$1" >"$2.new")
    chmod "$3" -- "$2.new"
    [ -z "${4-}" ] || own "$4" "$2.new"
    mv -f -- "$2.new" "$2"
    case $2 in
        "$etc"/*) grep -qxF -- "${2#"$tree"}" "$opt/installed/written" 2>/dev/null ||
            printf '%s\n' "${2#"$tree"}" >>"$opt/installed/written" ;;
    esac
}

# ---- looking at what is to be, before anything is touched

# A copy of /etc/sluice as it is to be, for the program to look at.
stage_all() {
    stage=$work/stage
    (umask 077 && mkdir -p -- "$stage/etc/sluice")
    for file in "$etc"/* "$etc"/.[!.]*; do
        case ${file##*/} in
            server.toml | client.toml | token) ;;
            *) [ ! -e "$file" ] || ln -s -- "$file" "$stage/etc/sluice/" ;;
        esac
    done
    for each in $roles; do choose_config "$each"; done
    choose_token
    for each in $roles; do
        (umask 077 && sed "s|\([\"']\)/etc/sluice/|\1$stage/etc/sluice/|g" "$work/$each.toml" \
            >"$stage/etc/sluice/$each.toml")
    done
}

check_roles() {
    for each in $roles; do check_role "$each"; done
    checked=1
}

# check_role ROLE: its configuration, of which settings and units are made.
check_role() {
    staged=$stage/etc/sluice/$1.toml
    sluice config check "$staged" >"$work/told" 2>&1 || refuse_config "$1" "$?"
    sluice config show "$staged" --json >"$work/told" || fail "the configuration could not be shown"
    "$program/bin/python" -I - "$work/told" <<'END' >"$work/$1.settings"
import json, sys
with open(sys.argv[1]) as file:
    shown = json.load(file)
for key, value in [("command", shown["command"]), *((each["key"], each["value"]) for each in shown["settings"])]:
    print(f"{key}={value}")
END
    case $(setting "$1" command) in
        "$1" | *" $1") ;;
        *) wrong "this configuration is for sluice $(setting "$1" command), and not for a $1" ;;
    esac
    make_units "$1"
}

# refuse_config ROLE STATUS: with what the program said of it. Of a file that nobody has written, no line is named.
refuse_config() {
    file=$stage/etc/sluice/$1.toml
    if is_written "$1" && [ -n "$config_file" ]; then
        sed -i "s|$file|$(printf '%s' "$config_file" | sed 's/[|\\&]/\\&/g')|g" "$work/told"
    elif is_written "$1"; then
        sed -i "s|$file:[0-9]*: ||; s/--\(auto-tls-san\|letsencrypt-domain\)/--domain/g" "$work/told"
    fi
    as_shown <"$work/told" >&2
    [ "$2" = 2 ] || fail "Sluice ${program##*/} cannot look at the configuration; above is why"
    exit 2
}

as_shown() { sed "s|$stage/etc/sluice|/etc/sluice|g; s|$tree/etc/sluice|/etc/sluice|g"; }

# make_units ROLE: in $work/ROLE.units.
make_units() {
    # shellcheck disable=SC2046  # several words
    SLUICE_ROOT=$stage sluice $(setting "$1" command) --config "$stage/etc/sluice/$1.toml" --generate systemd \
        >"$work/units" 2>"$work/told" || refuse_config "$1" "$?"
    mkdir -- "$work/$1.units"
    as_shown <"$work/units" | awk -v directory="$work/$1.units/" '
        /^# \/etc\/systemd\/system\// { file = $2; sub(/.*\//, directory, file); next }
        file { print >file }'
    [ -s "$work/$1.units/sluice-$1.service" ] || fail "no unit came of sluice --generate systemd"
}

# setting ROLE KEY: its value with this configuration, defaults too.
setting() { sed -n "s/^$2=//p" "$work/$1.settings"; }

# ---- putting it in place

# What is about to be changed, to be put back when the new one does not come up.
remember() {
    mkdir -- "$work/before" "$work/before/etc" "$work/before/units" "$work/before/installed"
    for each in server client; do
        for unit in $(units_of "$each"); do cp -a -- "$units/$unit" "$work/before/units/"; done
        ! is_up "$each" || up_before="$up_before $each"
    done
    for file in server.toml client.toml token; do
        [ ! -e "$etc/$file" ] || cp -a -- "$etc/$file" "$work/before/etc/"
    done
    cp -a -- "$opt/installed/." "$work/before/installed/"
    case $systemd$(status_of client) in
        "1connected to "*) connected_before=1 ;;
    esac
    undo=1
}

# Running, or trying to.
is_up() {
    [ "$systemd" = 1 ] || return 1
    case $(systemctl is-active "sluice-$1.service") in
        active | activating | reloading) ;;
        *) return 1 ;;
    esac
}

undo_all() {
    undo=0
    if [ -n "$roles_before$up_before" ]; then
        say "putting back what ran before${running:+: $running}"
    else
        say "taking units and configuration away again; what was built stays for the next try"
    fi
    for each in server client; do
        names=
        for name in $(units_of "$each"); do [ -e "$work/before/units/$name" ] || names="$names $name"; done
        # shellcheck disable=SC2086  # several
        [ -z "$names" ] || drop_units "$each" $names
    done
    for file in server.toml client.toml token; do rm -f -- "$etc/$file" "$etc/$file.new"; done
    [ -z "$kept_old" ] || rm -f -- "$kept_old"
    for pair in etc:"$etc" units:"$units" installed:"$opt/installed"; do
        for file in "$work/before/${pair%%:*}"/*; do
            [ ! -e "$file" ] || cp -a -- "$file" "${pair#*:}/"
        done
    done
    if [ -n "$running" ]; then
        link_to "versions/$running" "$opt/current"
        [ -z "$built" ] || rm -rf -- "$built"
    fi
    [ "$systemd" = 1 ] || return 0
    systemctl daemon-reload
    for each in $up_before; do # what was not stopped has noticed nothing
        ! has "$touched" "$each" || start_role "$each" ||
            note "it could not be started again: journalctl -u sluice-$each.service"
    done
}

# drop_units ROLE NAME...: stopped, disabled, removed. Together, lest a socket starts its service again.
drop_units() {
    touched="$touched $1"
    shift
    if [ "$systemd" = 1 ]; then
        systemctl --quiet disable --now "$@" >/dev/null 2>&1 || :
        systemctl reset-failed "$@" 2>/dev/null || :
    fi
    for unit in "$@"; do rm -f -- "$units/$unit" "$units"/*.wants/"$unit"; done
}

# units_of ROLE: the names of those that are installed, sockets first.
units_of() {
    for unit in "$units"/sluice-"$1"-*.socket; do
        ! grep -qxF "Service=sluice-$1.service" "$unit" 2>/dev/null || printf '%s\n' "${unit##*/}"
    done
    [ ! -e "$units/sluice-$1.service" ] || printf '%s\n' "sluice-$1.service"
}

place_files() {
    for each in $roles; do
        place_config "$each"
        place_units "$each"
    done
    if [ "$running" != "${program##*/}" ]; then
        changed=$roles
        link_to "versions/${program##*/}" "$opt/current"
    fi
    link_to current/bin "$opt/bin"
    place_extras
}

place_config() {
    file=$etc/$1.toml
    if ! cmp -s -- "$work/$1.toml" "$file"; then
        changed="$changed $1"
        [ ! -e "$file" ] || ! was_edited "$1" || keep_old "$file"
        put_in_place "$work/$1.toml" "$file" 640 root:sluice
    fi
    [ "$1" != "$role" ] || ! configured_by_flags || sha256sum <"$file" >"$opt/installed/$1.config"
}

# keep_old FILE: what somebody has written, beside it. It is nobody's but theirs: the next one gets a number.
keep_old() {
    kept_old=$1.old number=1
    while [ -e "$kept_old" ]; do
        number=$((number + 1))
        kept_old=$1.old.$number
    done
    cp -a -- "$1" "$kept_old"
    note "what was edited is kept: ${kept_old#"$tree"}"
}

place_units() {
    for name in $(units_of "$1"); do
        [ ! -e "$work/$1.units/$name" ] || continue
        drop_units "$1" "$name"
        changed="$changed $1" sockets_changed="$sockets_changed $1"
    done
    for file in "$work/$1.units"/*; do
        target=$units/${file##*/}
        if ! cmp -s -- "$file" "$target"; then
            changed="$changed $1"
            case $target in *.socket) sockets_changed="$sockets_changed $1" ;; esac
            put_in_place "$file" "$target" 644
        fi
        # The link that `systemctl enable` makes, which needs no running systemd, but is not everywhere.
        wants=$units/$(sed -n 's/^WantedBy=//p' "$file").wants
        make_directory "$wants" 755
        link_to "/etc/systemd/system/${file##*/}" "$wants/${file##*/}"
    done
}

# place_extras: the command for everybody, what shells complete, and manual pages.
place_extras() {
    share=$tree/usr/local/share
    make_directory "$tree/usr/local/bin" 755
    for pair in bash:bash-completion/completions/sluice zsh:zsh/site-functions/_sluice \
        fish:fish/vendor_completions.d/sluice.fish; do
        make_directory "$(dirname -- "$share/${pair#*:}")" 755
        sluice completion "${pair%%:*}" >"$work/completion" 2>/dev/null || continue
        cmp -s -- "$work/completion" "$share/${pair#*:}" || cp -- "$work/completion" "$share/${pair#*:}"
        printf '%s\n' "/usr/local/share/${pair#*:}" >>"$work/extras"
    done
    [ -e "$program/share/man/man1/sluice.1" ] || sluice man --directory "$program/share/man/man1" 2>/dev/null || :
    for page in "$program"/share/man/man1/sluice*; do
        [ -e "$page" ] || continue
        make_directory "$share/man/man1" 755
        link_to "/opt/sluice/current/share/man/man1/${page##*/}" "$share/man/man1/${page##*/}"
        printf '%s\n' "/usr/local/share/man/man1/${page##*/}" >>"$work/extras"
    done
    command=$tree/usr/local/bin/sluice
    if [ "$(readlink "$command")" = /opt/sluice/bin/sluice ] || [ ! -e "$command" ]; then
        link_to /opt/sluice/bin/sluice "$command"
        printf '%s\n' /usr/local/bin/sluice >>"$work/extras"
    else
        note "/usr/local/bin/sluice is another program, and was left alone: ours is /opt/sluice/bin/sluice"
    fi
    cp -- "$work/extras" "$opt/installed/files"
}

# The server's authority, as its user: its fingerprint belongs to what is told, even where nothing is started.
make_authority() {
    [ "$(setting server auto-tls)" = true ] || return 0
    [ -z "$(setting server tls-cert)$(setting server auto-tls-path)$tree" ] || return 0
    [ "$(id -u)" = 0 ] && [ ! -h "$state" ] && [ ! -e "$state/authority.pem" ] || return 0
    setpriv --reuid=sluice --regid=sluice --clear-groups "$program/bin/python" -I - "$state" \
        "$(setting server auto-tls-san)" <<'END' >"$work/authority.log" 2>&1 || : # it is made at the start, too
import socket, sys
from pathlib import Path
from appliance.certificates.authority import ensure
ensure(Path(sys.argv[1]), [name.strip() for name in sys.argv[2].split(",") if name.strip()], socket.gethostname())
END
}

# ---- running it

# start_role ROLE: again, if it runs.
start_role() {
    touched="$touched $1"
    names=$(units_of "$1")
    # shellcheck disable=SC2086  # several
    systemctl --quiet enable $names 2>/dev/null || return 1
    # A socket in use cannot be opened anew; and all together, lest one starts the service again.
    # shellcheck disable=SC2086
    ! has "$sockets_changed" "$1" || systemctl stop $names
    # Otherwise they stay open meanwhile: who comes during a restart waits, and is not refused.
    for name in $names; do
        case $name in *.socket) open_socket "$name" || return 1 ;; esac
    done
    systemctl restart "sluice-$1.service"
}

open_socket() {
    systemctl start "$1" 2>/dev/null || {
        note "$1 cannot listen at $(sed -n 's/^ListenStream=//p' "$units/$1"): has another program that? \`ss -ltnp\`"
        return 1
    }
}

is_well() {
    case $1 in
        server) "$program/bin/python" -I - "$(setting server control-addr)" "$(setting server control-port)" <<'END' ;;
import http.client, ssl, sys
host, port = sys.argv[1], int(sys.argv[2] or 8123)
host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
context = ssl._create_unverified_context()
for make in lambda: http.client.HTTPSConnection(host, port, timeout=5, context=context), \
        lambda: http.client.HTTPConnection(host, port, timeout=5):
    try:
        connection = make()
        connection.request("GET", "/readyz")
        if connection.getresponse().status in (200, 403):
            sys.exit()
    except (OSError, http.client.HTTPException):
        pass
sys.exit(1)
END
        client)
            case $(status_of client) in
                "connected to "*) ;;
                *) return 1 ;;
            esac
            ;;
    esac
}

# becomes_well ROLE: within 30 seconds, by a clock that nobody sets.
becomes_well() {
    limit=$(($(uptime_seconds) + 30))
    until is_well "$1"; do
        [ "$(uptime_seconds)" -lt "$limit" ] || return 1
        sleep 1
    done
}

uptime_seconds() { cut -d . -f 1 /proc/uptime; }

# What has changed, or does not run, is started; the other one is left alone.
run_roles() {
    starting=
    for each in $roles; do
        if has "$changed" "$each" || ! systemctl --quiet is-active "sluice-$each.service"; then
            starting="$starting $each"
        fi
    done
    systemctl daemon-reload
    if [ -n "$starting" ]; then say "starting $(services "$starting")"; else say "nothing has changed"; fi
    for each in $starting; do
        start_role "$each" || {
            told_by "$each"
            fail "it does not start; above is what it said"
        }
    done
    for each in ${starting:-$roles}; do
        becomes_well "$each" || not_well "$each"
    done
}

not_well() {
    told_by "$1"
    [ "$1" = client ] || fail "the server does not answer on its control port; above is what it said"
    [ "$connected_before" = 0 ] || fail "the client was connected, and is not any more; above is what it said"
    note "the client is $(status_of client)"
    unconnected=1
}

services() { for unit in $1; do printf '%s ' "sluice-$unit.service"; done; }
status_of() { systemctl show --property StatusText --value "sluice-$1.service" 2>/dev/null || :; }

# What its units have said in this run; but not the same again and again.
told_by() {
    for unit in $(units_of "$1"); do
        { journalctl --quiet --no-pager --output cat --since "@$began" --unit "$unit" 2>/dev/null || :; } |
            awk '!seen[$0]++' | tail -n 8 >&2
    done
}

# ---- what is told in the end

# The addresses at which the server listens, by its sockets and its settings.
ports_of_server() {
    {
        sed -n 's/^ListenStream=\(.*:\)\{0,1\}\([0-9]*\)$/\2/p' "$work"/server.units/*.socket 2>/dev/null
        case $(setting server command) in
            'http server') ;;
            *) setting server allow-ports | tr ',' '\n' | tr -d ' ' ;;
        esac
    } | sort -n -u | paste -s -d , -
}

tell_firewall() {
    ports=$(ports_of_server)
    if command -v ufw >/dev/null && ufw status 2>/dev/null | grep -q '^Status: active'; then
        note "ufw is on. To let visitors and clients in: ufw allow $(printf '%s' "$ports" | tr - :)/tcp"
    elif command -v firewall-cmd >/dev/null && firewall-cmd --state >/dev/null 2>&1; then
        note "firewalld is on. To let visitors and clients in:"
        flags=$(printf '%s\n' "$ports" | tr ',' '\n' | sed 's|.*| --add-port=&/tcp|' | tr -d '\n')
        note "  firewall-cmd --permanent$flags && firewall-cmd --reload"
    elif chain=$(nft list ruleset 2>/dev/null | awk '/^table/ {table = $2 " " $3} /chain/ {chain = $2}
            /hook input/ && /policy drop/ {print table, chain; exit}') && [ -n "$chain" ]; then
        note "nftables drops what it does not know. To let visitors and clients in, here and in /etc/nftables.conf:"
        note "  nft add rule $chain tcp dport { $ports } accept"
    else
        note "firewall: none found here. Where there is one, a cloud's for instance, it must let in TCP $ports"
    fi
}

tell_by_hand() {
    words="setpriv --reuid=sluice --regid=sluice --clear-groups"
    if [ "$1" = server ] && ports_of_server | tr ',' '\n' | awk '$1 + 0 < 1024 {low = 1} END {exit !low}'; then
        words="$words --inh-caps=+net_bind_service --ambient-caps=+net_bind_service"
    fi
    words="$words /opt/sluice/bin/sluice $(setting "$1" command) --config /etc/sluice/$1.toml --token-env SLUICE_TOKEN"
    cat <<END
To start the $1 by hand, as root, with the token in the environment of that process alone:

  SLUICE_TOKEN=\$(cat /etc/sluice/token) STATE_DIRECTORY=/var/lib/sluice $words

END
}

# The fingerprint of the server's authority; nothing where it has none, or has not made it yet.
fingerprint_here() {
    sluice certificates --json --auto-tls-path "$state" 2>/dev/null | "$python" -I -c '
import json, sys
print(json.load(sys.stdin)["authority"]["fingerprint"].removeprefix("sha256:"))' 2>/dev/null || :
}

# word TEXT: as a shell reads it.
word() {
    if matches "$1" '[A-Za-z0-9_.,:/@%+=-]+'; then
        printf '%s' "$1"
    else
        printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
    fi
}

tell_server() {
    host=$(setting server auto-tls-san | cut -d , -f 1)
    host=${host:-ADDRESS}
    login="ssh ${SUDO_USER:-root}@$host ${SUDO_USER:+sudo }cat"
    case $host in
        *:*) host="[$host]" ;;
    esac
    line="--url $(word "wss://$host:$(setting server control-port)") --token-file sluice-token"
    if [ -n "$(setting server tls-cert)" ]; then
        :
    elif [ "$(setting server auto-tls)" != true ]; then
        line="--url $(word "ws://$host:$(setting server control-port)") --token-file sluice-token"
    else
        pin=$(fingerprint_here)
        [ -n "$pin" ] || note "once it has run, \`sluice certificates\` shows the FINGERPRINT of its authority"
        line="$line --ca-fingerprint ${pin:-FINGERPRINT}"
    fi
    case $(setting server command) in
        'tcp server') line="$line --upstream 2222=127.0.0.1:22" ;;
        *) line="$line --upstream http://127.0.0.1:3000" ;;
    esac
    case $source_given in
        http*) line="$line --source $(word "$source_given")${sha256:+ --source-sha256 $sha256}" ;;
    esac
    cat <<END
On the machine with the services, fetch the token over SSH, and then install the client with an --upstream of yours:

  (umask 077 && $login /etc/sluice/token >sluice-token)
  sudo sh scripts/install.sh client $line

The token is in /etc/sluice/token, for root alone to read. Whoever has it may connect as a client.
END
}

# What to say of a --token-file that others may read.
if_seen() {
    # shellcheck disable=SC2012  # of one file, and for its mode alone
    case $(ls -l -L -d -- "$token_file" 2>/dev/null) in
        -???r* | -??????r*) printf '%s' "; until then, others on this machine can read it" ;;
    esac
}

tell_all() {
    say "Sluice $(sluice version) is installed: $(services "$roles")"
    for each in $roles; do
        [ "$no_start" = 0 ] || [ -n "$tree" ] || tell_by_hand "$each"
    done
    case $roles in
        *server*)
            [ -n "$tree" ] || tell_firewall
            tell_server
            ;;
    esac
    case $roles in
        *client*)
            [ "$no_start" = 1 ] || note "the client is $(status_of client)"
            [ -n "$(setting client ca-fingerprint)$(setting client tls-ca)" ] ||
                note "no --ca-fingerprint was given: what the server shows first is believed, and nothing else after"
            ;;
    esac
    [ -z "$token_file" ] || note "the token is in /etc/sluice/token now: $token_file can be deleted$(if_seen)"
    [ ! -s "$etc/token" ] || [ "$(wc -c <"$etc/token")" -gt 16 ] ||
        note "the token is short: who guesses it may connect as a client. install.sh update --token-file gives another"
}

tell_dry_run() {
    [ -z "$missing" ] || say "would install Debian packages:$missing"
    say "would build a virtual environment in /opt/sluice/versions, from $source_given"
    say "would make the user sluice, /etc/sluice (750 root:sluice) and /var/lib/sluice (700 sluice:sluice)"
    if [ "$new_token" = 1 ] && [ -n "$token_file" ]; then
        say "would copy $token_file to /etc/sluice/token (600 root:root)"
    elif [ "$new_token" = 1 ]; then
        say "would make a token in /etc/sluice/token (600 root:root)"
    fi
    for each in $roles; do
        if is_written "$each"; then
            say "would write /etc/sluice/$each.toml (640 root:sluice):"
            sed 's/^/     /' "$work/$each.toml" >&2
        else
            say "would keep /etc/sluice/$each.toml"
        fi
    done
    say "would link /opt/sluice/current to it, and /usr/local/bin/sluice, completions of shells"
    for each in $roles; do
        say "would write /etc/systemd/system/sluice-$each.service and its sockets, as --generate systemd prints them"
        [ "$no_start" = 1 ] || say "would enable and start it, see whether it is well, and else undo this"
    done
    if [ "$checked" = 1 ]; then
        note "the configuration is good: Sluice $running has looked at it"
    else
        note "no Sluice is installed that could look at the configuration: that is done before anything is started"
    fi
}

# ---- removal

remove() {
    gone=${role:-"server client"} left=
    for each in server client; do
        has "$gone" "$each" || [ ! -e "$etc/$each.toml" ] || left=$each
    done
    check_ours
    if [ "$dry_run" = 1 ]; then
        for each in $gone; do say "would stop and remove sluice-$each.service and its sockets"; done
        [ -n "$left" ] || say "would remove /opt/sluice and what it put into /usr/local"
        [ -n "$left" ] || [ "$keep_data" = 1 ] || say "would remove /etc/sluice, /var/lib/sluice, the user sluice"
        return
    fi
    if [ -d "$opt/installed" ]; then
        lock
        for each in $gone; do remove_role "$each"; done
    fi
    if [ -n "$left" ]; then
        say "removed; the $left stays"
        return
    fi
    remove_program
    remove_data
    say "Sluice is removed"
}

# Only what this script has made is its to remove: its mark is /opt/sluice/installed, or what --keep-data has left.
check_ours() {
    if [ ! -d "$opt/installed" ] && [ ! -e "$etc/.kept" ]; then
        others=
        for each in /opt/sluice /etc/sluice /var/lib/sluice; do [ ! -e "$tree$each" ] || others="$others $each"; done
        fail "this script has installed nothing here, so it removes nothing${others:+. Not of its making:$others}"
    fi
    [ -z "$role" ] || [ -z "$left" ] || [ -e "$etc/$role.toml" ] || [ -e "$units/sluice-$role.service" ] ||
        fail "there is no $role here to be removed; the $left stays"
}

remove_role() {
    names=$(units_of "$1")
    # shellcheck disable=SC2086  # several
    [ -z "$names" ] || drop_units "$1" $names
    [ "$systemd" = 0 ] || systemctl daemon-reload
    [ "$keep_data" = 1 ] || rm -f -- "$etc/$1.toml" "$etc/$1.toml.old" "$etc/$1.toml.old".[0-9]*
    rm -f -- "$opt/installed/$1.config"
    [ ! -e "$opt/installed/written" ] || sed -i "\\|^/etc/sluice/$1\\.toml\$|d" "$opt/installed/written"
}

remove_program() {
    for file in directories written packages; do cat -- "$opt/installed/$file" >"$work/$file" 2>/dev/null || :; done
    [ ! -e "$etc/.kept" ] || cat -- "$etc/.kept" >>"$work/directories"
    [ -d "$opt/installed" ] || return 0
    if [ -s "$work/packages" ] && [ -z "$tree" ]; then
        # shellcheck disable=SC2046
        apt-mark auto $(cat "$work/packages") >/dev/null 2>&1 || :
        note "packages that were installed for it, and which \`apt-get autoremove\` takes if nothing else wants them:"
        note "$(paste -s -d ' ' "$work/packages")"
    fi
    if [ -e "$opt/installed/files" ]; then
        while read -r file; do rm -f -- "$tree$file"; done <"$opt/installed/files"
    fi
    rm -rf -- "$opt"
}

remove_data() {
    if [ "$keep_data" = 1 ]; then
        note "kept: /etc/sluice, /var/lib/sluice, and the user sluice"
        grep -vxE '/etc/sluice|/var/lib/(sluice|private)' "$work/directories" >"$work/all" || :
        remove_directories <"$work/all"
        [ ! -d "$etc" ] || remaining_directories <"$work/directories" >"$etc/.kept"
        return
    fi
    while read -r file; do rm -f -- "$tree$file"; done <"$work/written"
    for each in /etc/sluice /var/lib/sluice; do
        if grep -qxF "$each" "$work/directories"; then
            rm -rf -- "$tree$each"
            [ "$each" = /etc/sluice ] || rm -rf -- "$tree/var/lib/private/sluice"
        elif [ -e "$tree$each" ]; then
            note "left: $each, which was there before this script was"
        fi
    done
    ours='^sluice:.*:Sluice tunnels:/var/lib/sluice:/usr/sbin/nologin$'
    if [ "$(id -u)" = 0 ] && grep -q "$ours" "$tree/etc/passwd" 2>/dev/null; then
        userdel ${tree:+--prefix "$tree"} sluice
    fi
    remove_directories <"$work/directories"
}

# Of those on standard input: the empty ones, and the ones that are there.
remove_directories() { sort -r -u | while read -r each; do rmdir -- "$tree$each" 2>/dev/null || :; done; }
remaining_directories() { while read -r each; do [ ! -d "$tree$each" ] || printf '%s\n' "$each"; done; }

# ---- all of it

clean_up() {
    status=$?
    trap - EXIT
    trap '' HUP INT TERM PIPE
    [ "$status" = 0 ] || [ "$undo" = 0 ] || undo_all || :
    [ "$status" != 2 ] || unbuild || :
    [ -z "$unfinished" ] || rm -rf -- "$unfinished"
    # What a first try made stays for the next one, and is known to --uninstall.
    record_directories || :
    rm -rf -- "$work"
    exit "$status"
}

# "Nothing was done": without what a look at the configuration took.
unbuild() {
    [ -n "$built" ] || return 0
    rm -rf -- "$built"
    if grep -qxF /opt/sluice/installed "$work/directories" && [ ! -e "$opt/installed/packages" ]; then
        rm -rf -- "$opt/installed"
    fi
    remove_directories <"$work/directories"
}

find_roles() {
    for each in server client; do
        [ ! -e "$etc/$each.toml" ] || roles_before="$roles_before $each"
        if [ "$each" = "$role" ] || [ -e "$etc/$each.toml" ]; then roles="$roles $each"; fi
    done
    [ -n "$roles" ] || wrong "update: nothing is installed here yet: install.sh server, or install.sh client"
    running=$(readlink "$opt/current") && running=${running##*/} || running=
    [ -z "$running" ] || [ -e "$opt/versions/$running/.complete" ] || running=
}

install_all() {
    check_own_directory
    find_roles
    stage_all
    find_python
    if [ "$dry_run" = 1 ]; then
        program=$opt/versions/$running
        [ -z "$running" ] || check_roles
        tell_dry_run
        return
    fi
    install_packages
    bring_source
    name_version
    [ ! -e "$program/.complete" ] || check_roles
    make_own_directory
    lock
    build_program
    [ "$checked" = 1 ] || check_roles
    make_user
    remember
    place_all
    undo=0
    for each in "$opt"/versions/*; do # this one and the one before stay, also when it is done twice
        case ${each##*/} in
            "${program##*/}" | "$running") ;;
            *) if [ "$running" != "${program##*/}" ] || [ ! -e "$each/.complete" ]; then rm -rf -- "$each"; fi ;;
        esac
    done
    tell_all
    [ "$unconnected" = 0 ] || fail "all is installed, but the client is not connected yet: it goes on trying"
}

lock() {
    exec 9<"$opt"
    flock -n 9 || fail "another install.sh is at work here: wait for it to end"
}

place_all() {
    [ -d "$tree/var/lib/private" ] || printf '%s\n' /var/lib/private >>"$work/directories" # systemd makes it
    make_directory "$etc" 750 root:sluice
    [ -e "$state" ] || [ -h "$state" ] || make_directory "$state" 700 sluice:sluice
    make_directory "$units" 755
    place_token
    place_files
    case $roles in *server*) make_authority ;; esac
    [ "$no_start" = 1 ] || run_roles
}

# A directory for what is only needed now: in memory where there is some, for it has secrets in it. It is locked for as
# long as this lives: one that is not was left by a run that was killed.
make_work() {
    work=
    [ ! -d /run ] || [ "$(id -u)" != 0 ] || work=$(mktemp -d /run/sluice-install.XXXXXX 2>/dev/null) || work=
    work=${work:-$(mktemp -d)}
    exec 8<"$work"
    flock -n 8
    # Not those of the last minute: they may be about to be locked.
    find /run -maxdepth 1 -name 'sluice-install.*' -mmin +1 -exec flock -n {} rm -rf -- {} \; 2>/dev/null || :
}

main() {
    unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
    for name in $(env | sed -n 's/^\(PIP_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$name"; done
    umask 022
    parse "$@"
    check_arguments
    exec </dev/null # what this runs must not read the rest of a script that comes through a pipe
    opt=$tree/opt/sluice etc=$tree/etc/sluice state=$tree/var/lib/sluice units=$tree/etc/systemd/system
    case $role in server) other=client ;; *) other=server ;; esac
    [ "$uninstall" = 1 ] || check_complete
    check_system
    roles='' roles_before='' running='' built='' unfinished='' kept_old=''
    changed='' sockets_changed='' touched='' up_before='' undo=0 checked=0 unconnected=0 connected_before=0
    began=$(date +%s)
    make_work
    trap clean_up EXIT
    trap 'exit 1' HUP INT TERM PIPE
    : >"$work/directories"
    : >"$work/extras"
    if [ "$uninstall" = 1 ]; then remove; else install_all; fi
}

main "$@"
