// Keys and certificates of the protocol tests, generated for each run: a client's private keys as PEM and JWK files, and
// their public keys for the registration; by OpenSSL's program a CA, the provider's certificate, a client's certificate from
// that CA, and a self-signed one.

import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const PAIRS = {
  rsa: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  p256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  p384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  p521: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  ed25519: () => generateKeyPairSync('ed25519'),
};

export function makeKeys(directory) {
  mkdirSync(directory, { recursive: true });
  return Object.fromEntries(Object.entries(PAIRS).map(([name, generate]) => {
    const { privateKey, publicKey } = generate();
    writeFileSync(`${directory}/${name}.pem`, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    writeFileSync(`${directory}/${name}.jwk`, JSON.stringify(privateKey.export({ format: 'jwk' })));
    return [name, publicKey.export({ format: 'jwk' })];
  }));
}

// Returns the public key of the self-signed certificate, including the certificate, as a client registers it.
export function makeCertificates(directory, clientName) {
  const certify = (name, options, commonName = name) => execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
    '-nodes', '-days', '2', '-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${commonName}`, ...options,
  ], { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  const byAuthority = ['-CA', 'authority.crt', '-CAkey', 'authority.key'];
  const addition = (text) => ['-addext', text];
  const leaf = addition('basicConstraints=critical,CA:false');

  mkdirSync(directory, { recursive: true });
  certify('authority', []);
  // nginx compares an address with the alternative names of a certificate only.
  certify('provider', [...byAuthority, ...leaf, ...addition('subjectAltName=IP:127.0.0.1')], '127.0.0.1');
  certify('certified', [...byAuthority, ...leaf, ...addition(`subjectAltName=DNS:${clientName}`)]);
  certify('self-signed', []);

  const selfSigned = new X509Certificate(readFileSync(`${directory}/self-signed.crt`));
  return { ...createPublicKey(readFileSync(`${directory}/self-signed.crt`)).export({ format: 'jwk' }), x5c: [selfSigned.raw.toString('base64')] };
}
