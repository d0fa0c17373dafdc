/** What to do about a warning, by its code. Where the warning says so itself, there is nothing to add. */
const advice: Readonly<Record<string, string>> = {
  'wiped-voter':
    'A voter that has lost its data must not vote again under its id. Remove it, and add it again as a learner.',
  'foreign-cluster':
    'Two clusters have each other’s addresses. Correct the addresses on the side where they are wrong.',
  'wrong-node':
    'Another node answers at the address of this member. Correct the address, or start the right node there.',
  'same-id': 'Two processes run under one id. Stop the one that is not meant, before anything else.',
  'peer-tls':
    'The two do not speak with each other until the certificate, or the settings of TLS, of one of them is right.',
  'build-too-old':
    'Start this node with the version of the others, or a newer one. If it has theirs already, that node sends what is damaged.',
  'unsound-peer': 'Stop that node, and compare its version and its disk with those of the others.',
  removed: 'The node can be stopped. To bring it back, add it as a learner.',
  'certificate-expiry': 'Put a new certificate into the place of the old one; the node takes it up by itself.',
  'certificate-files': 'The node goes on with the old files until the new ones are right.',
}

export function adviceFor(code: string): string | null {
  return advice[code] ?? null
}
