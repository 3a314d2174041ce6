package fleet

import (
	"context"
	"fmt"

	"lamplighter/internal/coap"
)

// Unicast sends body to one device as others do: block by block in confirmable
// requests (RFC 7959), in pairwise mode.
func (f *Fleet) Unicast(ctx context.Context, d *Device, body []byte) error {
	blocks := coap.NewBlockCaller(f.sender.Caller(d.ID), coap.BlockLimits{MaxBody: len(body)}, f.rand)
	resp, err := blocks.Call(ctx, coap.NewRequest(coap.PUT, "/image", body))
	if err == nil {
		err = coap.CheckResponse(resp)
	}
	if err != nil {
		return fmt.Errorf("sending to %s alone: %w", d.ID, err)
	}
	return nil
}
