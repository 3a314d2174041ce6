package commission

import (
	"errors"
	"sync"

	"lamplighter/internal/coap"
	oscoregroup "lamplighter/internal/oscore/group"
)

// OpenAll opens answers to the request of b under ctx as a campaign does when
// they have all come.
func OpenAll(v Verifier, ctx *oscoregroup.Context, b *oscoregroup.Binding, answers []*coap.Message) error {
	g := &group{keys: oscoregroup.NewMember(ctx)}
	batches := make(chan []arrival, len(answers)/maxBatch+1)
	for len(answers) > 0 {
		n := min(maxBatch, len(answers))
		list := make([]arrival, n)
		for i, m := range answers[:n] {
			list[i] = arrival{outer: m, binding: b}
		}
		batches <- list
		answers = answers[n:]
	}
	close(batches)
	failed := make([]error, openers)
	var opening sync.WaitGroup
	for i := range openers {
		opening.Go(func() {
			for list := range batches {
				for _, o := range g.open(v, list) {
					failed[i] = errors.Join(failed[i], o.err)
				}
			}
		})
	}
	opening.Wait()
	return errors.Join(failed...)
}
