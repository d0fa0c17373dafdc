/**
 * Measures every subject once in each round, so that other work of the machine affects all of them alike. The next round goes backwards: what
 * ran just before has an effect of its own. Resolves to the samples of each subject, one a round.
 */
export async function inTurns<Subject, Sample>(
  subjects: readonly Subject[],
  rounds: number,
  measure: (subject: Subject, round: number) => Promise<Sample>,
): Promise<Sample[][]> {
  const samples = subjects.map((): Sample[] => [])
  for (let round = 0; round < rounds; round++) {
    const entries = [...subjects.entries()]
    for (const [at, subject] of round % 2 === 0 ? entries : entries.reverse()) {
      samples[at]?.push(await measure(subject, round))
    }
  }
  return samples
}
