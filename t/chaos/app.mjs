// The application behind nginx: says in headers of its own who it was told the user is, and now and then takes its time.

import { createServer } from 'node:http';

export async function startApplication(random) {
  const server = createServer((req, res) => {
    const isMissing = req.url.startsWith('/missing/');
    const answer = () => { res.writeHead(isMissing ? 404 : 200, told(req.headers)).end('page\n'); };
    if (random.chance(0.1)) setTimeout(answer, random.between(0, 300));
    else answer();
  });
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  return server;
}

function told(headers) {
  const told = { 'X-App-Sub': headers['x-sub'], 'X-App-Login': headers['x-login'] };
  return Object.fromEntries(Object.entries(told).filter(([, value]) => value));
}
