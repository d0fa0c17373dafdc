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
  /** A node that is busy for a moment is not gone. */
  goneAfterMs: 2_500,
  /** How far back charts go. */
  chartSpanMs: 15 * 60_000,
  /** Points of a line. */
  chartReadingsMax: 1_000,
  /** Characters of one line of a stream. A value of 1 MiB in base64, and its predecessor, fit. */
  streamLineCharactersMax: 16 * 1024 * 1024,
  /** Entries of the log of what has happened while the page was open. */
  occurrencesMax: 200,
  /** Messages at the edge of the page. */
  messagesMax: 4,
  /** How long the message of a success stays. */
  messageMs: 8_000,
  tokenCharactersMax: 4_096,
} as const
