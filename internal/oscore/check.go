package oscore

import (
	"fmt"

	"lamplighter/internal/coap"
)

// CheckResponse refuses a response that asks with a critical option for what
// nobody here understands, and takes elective options of illegal length off. The
// block options pass, if they are legal: a transfer is for the layer above.
// Whoever takes the protection off himself calls it, as [Client] does. It fails
// with [coap.ErrBadOption]. RFC 7252, Section 5.4.1.
func CheckResponse(resp *coap.Message) error {
	var rest, blocks coap.Options
	for i, o := range resp.Options {
		if o.ID != coap.OptionBlock1 && o.ID != coap.OptionBlock2 {
			if blocks != nil {
				rest = append(rest, o)
			}
			continue
		}
		if blocks == nil {
			rest = append(rest, resp.Options[:i]...)
		}
		if len(o.Value) > 3 || blocks.HasOption(o.ID) {
			return fmt.Errorf("%w: number %d", coap.ErrBadOption, o.ID)
		}
		blocks = append(blocks, o)
	}
	if blocks == nil {
		return coap.CheckOptions(resp)
	}
	resp.Options = rest
	err := coap.CheckOptions(resp)
	for _, o := range blocks {
		coap.AddOption(resp, o.ID, o.Value)
	}
	return err
}
