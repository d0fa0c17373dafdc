import t from 'tap'
import { SeededRandom } from '../../src/lib/random.ts'
import { TestCluster } from '../node/support/cluster.ts'
import { automate, checkOne } from './support/automatic.ts'

t.test(
  'started at random moments with random delays, killed and cut off at random, there is one cluster',
  async (t) => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = new SeededRandom(seed)
      const c = new TestCluster(t, [1, 2, 3, 4, 5])
      const expected = random.integer(0, 2) === 0 ? 3 : 5
      for (const id of [1, 2, 3, 4, 5]) {
        automate(c, { expected, delayMs: random.integer(0, 2_000), votersTarget: 5 }, [id])
      }
      const ids = [1, 2, 3, 4, 5].sort(() => random.fraction() - 0.5)
      for (const id of ids) {
        await c.pass(random.integer(0, 800))
        await c.start(id)
      }
      for (let blows = random.integer(0, 6); blows > 0; blows--) {
        await c.pass(random.integer(0, 500))
        const victim = 1 + random.integer(0, 5)
        if (random.integer(0, 3) > 0) await c.restart(victim)
        else {
          c.partition([victim, 1 + (victim % 5)])
          await c.pass(random.integer(0, 2_000))
          c.heal()
        }
      }
      await checkOne(t, c, [1, 2, 3, 4, 5], `seed ${seed}`)
      for (const id of ids) await c.at(id).crash()
      c.clock.stop()
    }
  },
)
