/** The maxima of the dashboard, in one place. Units last. */
export const bounds = {
  /** Between two looks at the cluster, and at the metrics. */
  pollMs: 1_000,
  /** The same, while nobody sees the page. */
  pollHiddenMs: 15_000,
  /** The same, while the node does not answer; it doubles up to here. */
  pollFailingMsMax: 5_000,
  /** After that long without an answer a poll counts as failed. */
  pollTimeoutMs: 5_000,
  /** What a node takes for a request that says nothing of its time. */
  requestTimeoutMs: 10_000,
  /** On top of what a node may take, and of what the body of a request may take to get there. */
  answerSlackMs: 5_000,
  uploadMs: 30_000,
  /** A node that is busy for a moment is not gone. */
  goneAfterMs: 2_500,
  /** How far back charts go. */
  chartSpanMs: 15 * 60_000,
  /** Points of a line. */
  chartReadingsMax: 1_000,
  /** Characters of one line of a stream. The largest value that a node can be set to take fits, each of its bytes as `\u0000`, with its key. */
  streamLineCharactersMax: 6 * (16 * 1024 * 1024 + 4096) + 4096,
  /** Entries of the log of what has happened while the page was open. */
  occurrencesMax: 200,
  /** Messages at the edge of the page. */
  messagesMax: 4,
  /** How long the message of a success stays. */
  messageMs: 8_000,
  tokenCharactersMax: 4_096,

  /** A key has 1 to this many bytes of UTF-8. */
  keyBytesMax: 4_096,
  /** Lines of a level of the tree of keys that are read at once, and with how many requests. */
  treePartEntries: 200,
  treePartRequests: 40,
  /** Keys that one request for them asks for. */
  listedKeys: { first: 100, min: 4, max: 500 },
  /** Lines of one level, and of the whole tree, that are held. */
  treeLevelEntriesMax: 1_000,
  treeEntriesMax: 3_000,
  /** Branches that are opened to show a key. */
  treeRevealedLevelsMax: 16,
  separatorCharactersMax: 8,
  /** A prefix is looked up when nothing was typed for so long. */
  typingMs: 250,
  /** Between two looks at the key that is open. */
  keyPollMs: 3_000,
  /** Characters of a value that are shown unless all are asked for; and that are coloured. */
  shownCharacters: 200_000,
  colouredCharacters: 60_000,
  /** Characters of JSON with a member or an element a line. Deep levels take many times what they have on one line. */
  laidOutCharactersMax: 4 * 1024 * 1024,
  /** Bytes on a page of hexadecimal digits. */
  hexPageBytes: 8_192,
  /** Edits that were left without being saved. */
  draftsMax: 20,
  /** The browser has taken a download by then. */
  downloadMs: 60_000,
  /** A larger value is edited outside of a browser: it can be downloaded and uploaded. */
  editedBytesMax: { text: 2 * 1024 * 1024, json: 2 * 1024 * 1024, hex: 64 * 1024 },
  /** Two values that are compared line by line: their bytes together, lines that may differ, and the time. */
  comparedBytesMax: 4 * 1024 * 1024,
  comparedChangesMax: 2_000,
  comparedMsMax: 500,
  /** Lines of a difference that are shown, and characters of the changed part of one. */
  differenceLinesMax: 4_000,
  differenceLineCharactersMax: 2_000,
  /** Versions of a key that are read at once, and that are shown at most. */
  versionsPart: 50,
  versionsMax: 800,
  /** Between two attempts to go on with a watch. */
  watchRetryMsMin: 500,
  watchRetryMsMax: 10_000,
  /** A watch says something every 15 s; one that is silent for so long is dead. */
  watchSilenceMs: 40_000,
  /** Changes in the list of a watch, and characters of a value in it. */
  watchedChangesMax: 500,
  previewCharacters: 160,
  watchDrawMs: 100,
  /** Leases on a page, and between two looks at them. */
  leasesPart: 50,
  leasesPollMs: 5_000,
  /** Keys of a lease that are shown; when more are asked for. */
  leaseKeysPart: 50,
  leaseKeysMax: 1_000,
  /** Between two looks at roles and tokens. */
  accessPollMs: 5_000,
  /** Grants of the token of the page that are listed where it was refused. */
  grantsShownMax: 20,
  /** Locks on a page. */
  locksPart: 50,
} as const
