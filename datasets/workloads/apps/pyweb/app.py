"""A small notes application on Flask: pages, a JSON interface on SQLite, uploads, reports and an outgoing call."""

# ruff: noqa: D103 - an application to be watched; its routes say what they are
import csv
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import urllib.request
import uuid
from pathlib import Path

from flask import Flask, abort, g, jsonify, render_template, request, send_file
from flask.typing import ResponseReturnValue

DATA = Path(os.environ.get("PYWEB_DATA", "/srv/pyweb/data"))
UPSTREAM = os.environ.get("PYWEB_UPSTREAM", "http://127.0.0.1:9000")
SCHEMA = "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, title TEXT NOT NULL, body TEXT NOT NULL)"

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 8 << 20


def database() -> sqlite3.Connection:
    if "database" not in g:
        g.database = sqlite3.connect(DATA / "notes.db", timeout=10)
        g.database.execute(SCHEMA)
    return g.database


@app.teardown_appcontext
def close(_: object) -> None:
    if "database" in g:
        g.database.close()


@app.get("/")
def index() -> ResponseReturnValue:
    notes = database().execute("SELECT id, title FROM notes ORDER BY id DESC LIMIT 20").fetchall()
    return render_template("index.html", notes=notes)


@app.get("/notes/<int:number>")
def page(number: int) -> ResponseReturnValue:
    found = database().execute("SELECT title, body FROM notes WHERE id = ?", (number,)).fetchone()
    if not found:
        abort(404)
    return render_template("note.html", title=found[0], body=found[1])


@app.get("/api/notes")
def listing() -> ResponseReturnValue:
    rows = database().execute("SELECT id, title FROM notes ORDER BY title LIMIT 100")
    return jsonify([{"id": number, "title": title} for number, title in rows])


@app.post("/api/notes")
def create() -> ResponseReturnValue:
    note = request.get_json()
    with database() as connection:
        cursor = connection.execute("INSERT INTO notes (title, body) VALUES (?, ?)", (note["title"], note["body"]))
    return jsonify(id=cursor.lastrowid), 201


@app.delete("/api/notes/<int:number>")
def delete(number: int) -> ResponseReturnValue:
    with database() as connection:
        connection.execute("DELETE FROM notes WHERE id = ?", (number,))
    return "", 204


@app.post("/vacuum")
def vacuum() -> ResponseReturnValue:
    database().execute("VACUUM")
    return "", 204


@app.post("/upload")
def upload() -> ResponseReturnValue:
    sent = request.files["file"]
    name = f"{uuid.uuid4()}{Path(sent.filename or '').suffix[:8]}"
    sent.save(DATA / "uploads" / name)
    return jsonify(name=name), 201


@app.get("/uploads/<name>")
def download(name: str) -> ResponseReturnValue:
    path = DATA / "uploads" / Path(name).name
    if not path.is_file():
        abort(404)
    return send_file(path)


@app.get("/report")
def report() -> ResponseReturnValue:
    """A report that is written to a temporary file and sent from there."""
    with tempfile.NamedTemporaryFile("w+", prefix="report-", suffix=".csv", newline="") as out:
        csv.writer(out).writerows(database().execute("SELECT id, title, length(body) FROM notes"))
        out.flush()
        return send_file(out.name, mimetype="text/csv", download_name="report.csv")


@app.post("/backup")
def backup() -> ResponseReturnValue:
    """All uploads as one archive, made by tar in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="backup-") as folder:
        archive = Path(folder) / "uploads.tar.gz"
        subprocess.run(["tar", "-czf", str(archive), "-C", str(DATA), "uploads"], check=True)
        shutil.move(archive, DATA / "backup.tar.gz")
    return jsonify(size=(DATA / "backup.tar.gz").stat().st_size)


@app.get("/weather")
def weather() -> ResponseReturnValue:
    """What another service says, asked by name."""
    with urllib.request.urlopen(f"{UPSTREAM}/bytes/500", timeout=5) as answer:
        return jsonify(size=len(answer.read()))


@app.get("/fail")
def fail() -> ResponseReturnValue:
    return json.dumps({}["missing"])
