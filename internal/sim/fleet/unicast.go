package fleet

import (
	"context"
	"errors"
	"fmt"

	"lamplighter/internal/coap"
)

// Unicast sends body to one device as others do: block by block in confirmable
// requests (RFC 7959), in pairwise mode. A block that times out is sent anew.
func (f *Fleet) Unicast(ctx context.Context, d *Device, body []byte) error {
	blocks := coap.NewBlockCaller(patient{f.sender.Caller(d.ID)}, coap.BlockLimits{MaxBody: len(body)}, f.rand)
	resp, err := blocks.Call(ctx, coap.NewRequest(coap.PUT, "/image", body))
	if err == nil {
		err = coap.CheckResponse(resp)
	}
	if err != nil {
		return fmt.Errorf("sending to %s alone: %w", d.ID, err)
	}
	return nil
}

// patient repeats requests that time out.
type patient struct{ coap.Caller }

// Call implements [coap.Caller].
func (p patient) Call(ctx context.Context, req *coap.Message) (resp *coap.Message, err error) {
	for range 8 {
		if resp, err = p.Caller.Call(ctx, req); !errors.Is(err, coap.ErrTimeout) {
			break
		}
	}
	return resp, err
}
