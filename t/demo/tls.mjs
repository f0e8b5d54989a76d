// The demo's provider over TLS, as a separate issuer. It requests a client certificate at the endpoints where clients
// authenticate, not where browsers come, as RFC 8705 advises: metadata names them in mtls_endpoint_aliases. DEMO_TLS holds
// two ports of 127.0.0.1 and three PEM files:
//
//   { "port": 9443, "mutualPort": 9444, "certificate": "op.crt", "key": "op.key", "authority": "ca.crt" }

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const METHODS = [
  'client_secret_basic', 'client_secret_jwt', 'client_secret_post', 'private_key_jwt', 'none',
  'tls_client_auth', 'self_signed_tls_client_auth',
];

export function mutualTls({ port, mutualPort, certificate, key, authority }) {
  const own = { cert: readFileSync(certificate), key: readFileSync(key) };
  // Self-signed certificates must pass the handshake, too: oidc-provider checks each certificate.
  const requesting = { ca: readFileSync(authority), requestCert: true, rejectUnauthorized: false };
  return {
    issuer: `https://127.0.0.1:${port}`,
    additions: {
      clientAuthMethods: METHODS,
      discovery: { mtls_endpoint_aliases: aliases(`https://127.0.0.1:${mutualPort}`) },
      features: { mTLS },
    },
    servers: [
      { port, server: createServer(own) },
      { port: mutualPort, server: createServer({ ...own, ...requesting }) },
    ],
  };
}

function aliases(origin) {
  return {
    token_endpoint: `${origin}/token`,
    userinfo_endpoint: `${origin}/me`,
    pushed_authorization_request_endpoint: `${origin}/request`,
  };
}

const mTLS = {
  enabled: true,
  tlsClientAuth: true,
  selfSignedTlsClientAuth: true,
  getCertificate,
  certificateAuthorized: ({ socket }) => socket.authorized,
  certificateSubjectMatches: (ctx, property, expected) => {
    if (property !== 'tls_client_auth_san_dns') throw new Error(`the demo's provider does not support ${property}`);
    return getCertificate(ctx).checkHost(expected, { subject: 'never' }) === expected;
  },
};

function getCertificate({ socket }) {
  return socket.getPeerX509Certificate();
}
