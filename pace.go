package libcontainerd

import "time"

// pace times the repetitions of what may succeed later: pauses that double, from
// first to longest, until limit is over.
type pace struct {
	first   time.Duration
	longest time.Duration
	limit   time.Duration // 0: without end

	pause time.Duration // the last one
	end   time.Time     // of the limit, which begins with the first pause
}

// soon is the pace of a call that HCS is likely to accept in a moment.
func soon(limit time.Duration) pace {
	return pace{first: 10 * time.Millisecond, longest: time.Second, limit: max(limit, time.Nanosecond)}
}

// next returns the pause before the next repetition. It reports false if the limit
// is over.
func (p *pace) next() (time.Duration, bool) {
	if p.pause == 0 {
		p.pause = p.first
		p.end = time.Now().Add(p.limit)
	} else {
		p.pause = min(2*p.pause, p.longest)
	}
	if p.limit == 0 {
		return p.pause, true
	}
	pause := min(p.pause, time.Until(p.end))
	return pause, pause > 0
}
