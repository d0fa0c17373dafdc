/** Seeds that once found something. They are run for ever. Code changes alter what they do, so each one also stands for its story. */
export const regressions: readonly { readonly seed: number; readonly found: string }[] = [
  {
    seed: 43,
    found: 'a row read from the store while its change was on the way there was cached and outlived the change',
  },
  { seed: 46, found: 'a row that changed while it was read was answered with the revision of before' },
  { seed: 57, found: 'a snapshot whose receiver answered early kept its sender waiting' },
  { seed: 69, found: 'initialize was answered although the write of its entry had failed' },
  { seed: 116, found: 'a request to remove a node that was no voter stopped the leader' },
  { seed: 1221, found: 'a node could not answer a peer that it had given up for a moment' },
  { seed: 10392, found: 'entries acknowledged under an earlier ballot were gone by the same write' },
  {
    seed: 11196,
    found: 'a removed node that was added again could not answer a leader whose connection had stood all the time',
  },
  { seed: 20688, found: 'a candidate won an old ballot after a later leader had committed' },
  {
    seed: 21033,
    found: 'the state reached the disk ahead of the vote it was made under, and the node could not start',
  },
  { seed: 5121, found: 'a member that left twice was forgotten when its first farewell ended' },
  { seed: 3004337, found: 'a member that slept through the replacement of another refused it as leader for ever' },
  { seed: 10000732, found: 'a member was looked for at its old address for ever where nothing answers any more' },
  { seed: 30000543, found: 'a node that died while it formed a cluster was bound to it, and could form no other' },
  { seed: 70014598, found: 'the simulated operator moved a second member before the first was listed where it is' },
  { seed: 80010899, found: 'the simulated operator moved a member that had not heard where another had moved to' },
  {
    seed: 80009893,
    found: 'a node called itself initialised before its first entry was on disk, lost it, and nobody asked again',
  },
  {
    seed: 90002046,
    found: 'a member that was removed while it was added again, and did not answer, was added as whoever would come',
  },
  {
    seed: 100001810,
    found:
      'nodes that had met their cluster formed another one while its members were away, with one that had lost its data',
  },
  {
    seed: 100010748,
    found:
      'a node that had agreed to one cluster took part in another: two lists that share members both found a majority',
  },
  {
    seed: 110000640,
    found: 'a learner that read in an old log that its leader left and came back answered it where it was no more',
  },
  {
    seed: 120017261,
    found:
      'the bound for progress left no time to send the state to a voter that a majority needed and that held nothing',
  },
  {
    seed: 161015799,
    found:
      'a node that joined, and read the log from before, called itself removed since a peer had not read on either',
  },
  {
    seed: 170007609,
    found:
      'an oracle: who slept through an election may remove for an earlier leader what a later one has committed without it',
  },
  {
    seed: 171000668,
    found:
      'with short election timeouts, the pause between two attempts to connect kept members apart for more than ten of them',
  },
  {
    seed: 200002197,
    found:
      'an oracle: a leader that has committed nothing yet answers reads of a bounded age by what it was told before',
  },
  {
    seed: 210004108,
    found:
      'a leader that removed itself and was added again went by the end of its term, and not by the word that ended it',
  },
  {
    seed: 220009845,
    found:
      'a node that had met a cluster with a leader voted for the first leader of another, begun by one that had crashed since',
  },
  {
    seed: 510654931,
    found:
      'a node that died while it formed a cluster left the others free to form another one, and those that were restarted had forgotten',
  },
  {
    seed: 3100001200,
    found: 'a leader that was replaced while it opened the state offered entries of its successor under its own ballot',
  },
  { seed: 40315, found: 'a failed flush that a purge had asked for did not stop the node' },
  {
    seed: 512077076,
    found:
      'the bound for progress took a voter for able whose answers could not reach the leader, while the other one awaited the state',
  },
  { seed: 4400009729, found: 'a member that had moved was refused for ever as a copy of itself' },
  {
    seed: 4400011535,
    found: 'a member that had moved was refused for ever as a copy of itself, after a change of its addresses',
  },
  ...[7600000145, 7600000181, 7600000291, 7600000476].map((seed) => ({
    seed,
    found: 'a watch from before the feature level was raised told that a removed range had held nothing',
  })),
  ...[7600000435, 7600000502].map((seed) => ({
    seed,
    found: 'an oracle: a node that was cut off when it was removed, and has not heard of it, has nothing to tell',
  })),
  {
    seed: 7900000010,
    found: 'a node that stopped refused requests that had waited for a lock as if nothing had been done',
  },
  {
    seed: 7900000035,
    found:
      'a request whose wait for a lock was over, and that could not leave the queue, was told that nothing had been done',
  },
  {
    seed: 9000000068,
    found:
      'the simulator: clients that gave up after 40 ms asked for more than a window of one entry carries, and no write was ever answered in time',
  },
  {
    seed: 13000000936,
    found: 'a watch that had read a state from the disk before it was in force was told the same changes again',
  },
  {
    seed: 15000003175,
    found:
      'the simulator: a leader that executed slowly had many writes before it, and each write that was to show progress was given up before its turn',
  },
  {
    seed: 15000007498,
    found:
      'a learner that had moved waited for ever for a leader that had handed over to one that did not know where it is',
  },
  {
    seed: 16000000013,
    found:
      'a node that had not applied the first token yet took requests with a token as requests without one, and refused them',
  },
  {
    seed: 16000000053,
    found: 'a node that was removed waited for a leader before it answered whoever changes roles and tokens',
  },
  {
    seed: 16000000086,
    found: 'a node that was removed refused tokens that were made since',
  },
  {
    seed: 24000000290,
    found: 'a late try of a named request, refused since its token was revoked, took the lock from its holder',
  },
  {
    seed: 24000000915,
    found: 'a read whose row came from the disk was answered, though its token had been revoked meanwhile',
  },
  {
    seed: 24000001007,
    found: 'a stale read was refused by a node that did not know yet what had been granted',
  },
  {
    seed: 24000002325,
    found: 'the simulator: a node that joined while nothing was wrong was to answer in time, before it had caught up',
  },
  {
    seed: 33000000034,
    found:
      'the simulator: a node that installed a state was to know of a right that was taken, and given back, before that',
  },
  {
    seed: 43000006379,
    found:
      'a voter that had been told that it had lost its data voted for a founder that was removed before it held anything, and formed once more',
  },
  {
    seed: 50000000115,
    found:
      'the simulator: a machine that went on early, because the faults ended, was taken to have stood still until later',
  },
  {
    seed: 83000017750,
    found:
      'a removed node was sent what came after its removal, and carried out a raise of the feature level that it did not know',
  },
  {
    seed: 84000005531,
    found:
      'the simulator: of four voters one alone reached all others, and two of them held more than it, so that nobody could be elected',
  },
  {
    seed: 85000000544,
    found:
      'the simulator: what was sent to a node that was being dialled was lost, which the port of the transport rules out',
  },
  {
    seed: 86000003419,
    found:
      'while a state was being installed, a watch was told from the disk what its node did not have in memory yet, such as that its token had no right to it',
  },
  {
    seed: 97100000155,
    found:
      'a node that was behind after its start, and still saw level 0, told a retry that its name was used for another request',
  },
]
