// A small application on Node's own http module: files, a JSON store, uploads through a temporary folder, an outgoing
// call found by name, and a program started for compression.
'use strict';
const { execFile } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { pipeline } = require('node:stream/promises');
const zlib = require('node:zlib');

const port = Number(process.env.PORT || 3000);
const data = process.env.NODEWEB_DATA || '/srv/nodeweb/data';
const upstream = process.env.NODEWEB_UPSTREAM || 'http://127.0.0.1:9000';
const publicFolder = path.join(__dirname, 'public');
const log = fs.createWriteStream(process.env.NODEWEB_LOG || '/var/log/nodeweb/access.log', { flags: 'a' });

function json(response, status, value) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

async function store(request, response, key) {
  const target = path.join(data, 'items', `${key}.json`);
  if (request.method === 'GET') {
    const text = await fs.promises.readFile(target, 'utf8');
    return json(response, 200, JSON.parse(text));
  }
  if (request.method === 'DELETE') {
    await fs.promises.unlink(target);
    return json(response, 200, { deleted: key });
  }
  const value = JSON.parse((await body(request)).toString());
  const temporary = `${target}.${process.pid}.${Date.now()}.tmp`;
  await fs.promises.writeFile(temporary, JSON.stringify(value));
  await fs.promises.rename(temporary, target);
  return json(response, 201, { stored: key });
}

async function upload(request, response) {
  const folder = await fs.promises.mkdtemp(path.join(os.tmpdir(), 'upload-'));
  const received = path.join(folder, 'body');
  await pipeline(request, fs.createWriteStream(received));
  const name = crypto.randomUUID();
  await fs.promises.copyFile(received, path.join(data, 'uploads', name));
  await fs.promises.rm(folder, { recursive: true });
  json(response, 201, { name });
}

function compress(response, name) {
  const source = path.join(data, 'uploads', path.basename(name));
  execFile('gzip', ['-c', source], { encoding: 'buffer', maxBuffer: 16 << 20 }, (error, out) => {
    if (error) return json(response, 500, { error: 'gzip failed' });
    response.writeHead(200, { 'content-type': 'application/gzip' });
    return response.end(out);
  });
}

function weather(response) {
  http.get(`${upstream}/bytes/400`, (answer) => {
    let size = 0;
    answer.on('data', (part) => { size += part.length; });
    answer.on('end', () => json(response, 200, { size }));
  }).on('error', (error) => json(response, 502, { error: error.code }));
}

async function file(request, response, name) {
  const found = path.join(publicFolder, path.normalize(name));
  if (!found.startsWith(publicFolder + path.sep)) return json(response, 403, { error: 'outside' });
  const handle = await fs.promises.open(found);
  if (/gzip/.test(request.headers['accept-encoding'] || '')) {
    response.writeHead(200, { 'content-encoding': 'gzip' });
    return pipeline(handle.createReadStream(), zlib.createGzip(), response);
  }
  response.writeHead(200);
  return pipeline(handle.createReadStream(), response);
}

async function answer(request, response) {
  const { pathname } = new URL(request.url, 'http://localhost');
  log.write(`${new Date().toISOString()} ${request.method} ${JSON.stringify(pathname)}\n`);
  const [, first, second] = pathname.split('/');
  if (first === 'items' && /^[\w-]+$/.test(second || '')) return store(request, response, second);
  if (first === 'upload' && request.method === 'POST') return upload(request, response);
  if (first === 'compressed' && second) return compress(response, second);
  if (first === 'weather') return weather(response);
  if (first === 'health') {
    return json(response, 200, { load: os.loadavg(), memory: os.freemem(), cores: os.cpus().length });
  }
  return file(request, response, pathname === '/' ? 'index.html' : pathname);
}

const server = http.createServer((request, response) => {
  answer(request, response).catch((error) => {
    if (response.headersSent) return response.destroy();
    return json(response, error.code === 'ENOENT' ? 404 : 500, { error: error.code || 'failed' });
  });
});
server.listen(port);
process.on('SIGTERM', () => {
  server.close(() => log.end(() => process.exit(0)));
  server.closeAllConnections();
});
