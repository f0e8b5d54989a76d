// The application of the demo: it has no login of its own and shows the user that nginx sends, with a link to nginx's logout;
// as a page, or as JSON for a request that accepts JSON but not HTML.

import { createServer } from 'node:http';
import { escape, page } from './pages.mjs';

const IDENTITY = ['x-user', 'x-name', 'x-email', 'x-groups'];

createServer(respond).on('error', stop).listen(Number(process.env.DEMO_APP_PORT), '127.0.0.1');

function respond(req, res) {
  const request = { method: req.method, url: req.url, headers: headersOf(req) };
  console.log(`${new Date().toISOString()} ${req.method} ${req.url}`);
  const { accept = '' } = req.headers;
  const json = accept.includes('application/json') && !accept.includes('text/html');
  const [type, body] = json ? ['application/json', JSON.stringify(request, null, 2)] : ['text/html; charset=utf-8', show(request)];
  res.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-store' }).end(body);
}

// nginx passes a claim on in UTF-8; node reads header values as Latin-1.
function headersOf(req) {
  const decode = ([name, value]) => [name, Buffer.from(String(value), 'latin1').toString('utf8')];
  return Object.fromEntries(Object.entries(req.headers).map(decode));
}

function show({ method, url, headers }) {
  const user = headers['x-user'];
  return page('The application', `<main>
<h1>${user ? `Hello, ${escape(headers['x-name'] ?? user)}` : 'Hello'}</h1>
<p>This is the application behind nginx. The request was <code id="request">${escape(`${method} ${url}`)}</code>.</p>
<h2>Your identity, as sent by nginx</h2>
${table('identity', IDENTITY.map((name) => [name, headers[name] ?? '(not sent)']))}
<h2>All headers of the request</h2>
${table('headers', Object.entries(headers).map(([name, value]) => [name, name === 'cookie' ? cookieNames(value) : value]))}
</main>
<footer><a href="/">The public page</a>${user ? ' · <a href="/logout">Log out</a>' : ''}</footer>`);
}

function table(id, rows) {
  const lines = rows.map(([name, value]) => `<tr><th scope="row">${escape(name)}</th><td>${escape(value)}</td></tr>`);
  return `<table id="${id}">\n${lines.join('\n')}\n</table>`;
}

// Values of session cookies are not shown, since users make screenshots of this page.
function cookieNames(value) {
  return value.split(/; */).map((cookie) => `${cookie.split('=')[0]}=… (${cookie.length} characters)`).join('; ');
}

function stop(error) {
  console.error(`app: ${error.message}`);
  process.exit(1);
}
