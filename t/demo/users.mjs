// The users of the demo's provider: name, password and claims.

export const users = {
  alice: {
    password: 'wonderland',
    claims: {
      sub: 'alice',
      name: 'Alice Liddell',
      given_name: 'Alice',
      family_name: 'Liddell',
      preferred_username: 'alice',
      picture: 'https://example.com/alice.png',
      email: 'alice@example.com',
      email_verified: true,
      groups: ['staff', 'admins'],
      roles: ['reader', 'editor'],
    },
  },
  // A user whose name is not ASCII, with other groups
  zoe: {
    password: 'looking-glass',
    claims: {
      sub: 'zoe',
      name: 'Zoë Bäcker',
      given_name: 'Zoë',
      family_name: 'Bäcker',
      preferred_username: 'zoe',
      picture: 'https://example.com/zoe.png',
      email: 'zoe@example.com',
      email_verified: false,
      groups: ['guests'],
      roles: ['reader'],
    },
  },
};

export function login(name, password) {
  const user = Object.hasOwn(users, name) ? users[name] : undefined;
  return user?.password === password ? user : undefined;
}
