package endpoint

import (
	"context"
	"errors"
	"net/netip"

	"lamplighter/internal/coap"
)

// maxTold is how many requests without answers are remembered, to hear of their
// refusal, when nobody drains.
const maxTold = 4096

// tell sends a group request that nobody wants answers to. The bridge sends it on
// and forgets it; what it refuses, [WS.Drain] says.
// draft-ietf-core-groupcomm-proxy-07, Section 5.1.1.
func (w *WS) tell(ctx context.Context, to netip.AddrPort, req *coap.Message) error {
	token, err := w.call(w.noteRefusal)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.told = append(w.told, token)
	var oldest coap.Token
	if len(w.told) > maxTold {
		oldest, w.told = w.told[0], w.told[1:]
	}
	w.mu.Unlock()
	if oldest != nil {
		w.forget(oldest)
	}
	m := proxied(req, token, to)
	coap.SetOption(m, coap.OptionMulticastTimeout, coap.EncodeUint(0))
	return w.write(ctx, m)
}

// noteRefusal keeps what the bridge itself says to a request without answers. It
// runs in the reading goroutine.
func (w *WS) noteRefusal(m *coap.Message) {
	if coap.HasOption(m, coap.OptionReplyFrom) {
		return // a device that answers all the same
	}
	err := bridgeError(m)
	if err == nil {
		err = coap.CheckResponse(m)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refused == nil {
		w.refused = err
	}
}

// Drain implements [coap.Drainer]: it sends a Ping with Custody and waits for the
// Pong, which the bridge holds back until it has forwarded all before it. RFC
// 8323, Section 5.4.1.
func (w *WS) Drain(ctx context.Context) error {
	w.mu.Lock()
	told := w.told
	w.told = nil
	w.mu.Unlock()
	m := &coap.Message{Code: coap.Ping}
	coap.AddOption(m, coap.PingCustody, nil)
	err := w.ping(ctx, m)
	for _, token := range told {
		w.forget(token)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	refused := w.refused
	w.refused = nil
	return errors.Join(err, refused)
}
