package endpoint

import (
	"context"
	"errors"
	"net/netip"
	"syscall/js"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// fakeBridge stands for a browser's WebSocket class with a bridge behind it:
// answer says what comes back for each message; nil closes the connection.
func fakeBridge(t *testing.T, protocol string, answer func(m *coap.Message) []*coap.Message) {
	t.Helper()
	old := js.Global().Get("WebSocket")
	// As in a browser, events come when the program yields to the event loop, not
	// between two of its steps.
	later := func(fn func()) {
		var f js.Func
		f = js.FuncOf(func(js.Value, []js.Value) any {
			f.Release()
			fn()
			return nil
		})
		js.Global().Call("setTimeout", f, 1)
	}
	class := js.FuncOf(func(this js.Value, args []js.Value) any {
		this.Set("readyState", 0)
		this.Set("protocol", protocol)
		fire := func(event string, value map[string]any) {
			if f := this.Get("on" + event); f.Type() == js.TypeFunction {
				f.Invoke(value)
			}
		}
		deliver := func(m *coap.Message) {
			b, err := coap.MarshalWS(m)
			if err != nil {
				t.Error(err)
			}
			array := js.Global().Get("Uint8Array").New(len(b))
			js.CopyBytesToJS(array, b)
			fire("message", map[string]any{"data": array.Get("buffer")})
		}
		closing := false
		end := js.FuncOf(func(js.Value, []js.Value) any {
			if !closing {
				closing = true
				this.Set("readyState", 3)
				later(func() { fire("close", map[string]any{"code": 1000}) })
			}
			return nil
		})
		this.Set("close", end)
		this.Set("send", js.FuncOf(func(_ js.Value, args []js.Value) any {
			b := make([]byte, args[0].Length())
			js.CopyBytesToGo(b, args[0])
			m, err := coap.UnmarshalWS(b)
			if err != nil {
				t.Error(err)
				return nil
			}
			replies := answer(m)
			later(func() {
				if replies == nil {
					end.Invoke()
				}
				for _, r := range replies {
					deliver(r)
				}
			})
			return nil
		}))
		later(func() {
			if protocol == "refuse" {
				end.Invoke()
				return
			}
			this.Set("readyState", 1)
			fire("open", map[string]any{})
			deliver(coap.NewCSM(1 << 16))
		})
		return nil
	})
	js.Global().Set("WebSocket", class)
	t.Cleanup(func() { js.Global().Set("WebSocket", old) })
}

var lamp = netip.MustParseAddrPort("127.1.0.1:5683")

func bridge(m *coap.Message) []*coap.Message {
	switch {
	case m.Code == coap.Ping:
		return []*coap.Message{{Code: coap.Pong, Token: m.Token}}
	case coap.Class(m.Code) == 7:
		return []*coap.Message{}
	case coap.Path(m) == "/break":
		return nil
	case coap.HasOption(m, coap.OptionMulticastTimeout):
		var all []*coap.Message
		for i := range 3 {
			r := coap.Respond(coap.Content, coap.NoFormat, m.Payload)
			r.Token = m.Token
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, 0, byte(i)}), 5683)
			coap.AddOption(r, coap.OptionReplyFrom, coap.ReplyFrom(addr))
			all = append(all, r)
		}
		return all
	case !coap.HasOption(m, coap.OptionProxyScheme):
		return []*coap.Message{}
	case coap.HasOption(m, coap.OptionObserve):
		return notifications(m)
	}
	code := coap.Content
	if coap.Path(m) == "/timeout" {
		code = coap.GatewayTimeout
	}
	r := coap.Respond(code, coap.NoFormat, m.Payload)
	r.Token = m.Token
	return []*coap.Message{r}
}

// notifications answers a registration by three notifications, and a cancellation
// by a plain response.
func notifications(m *coap.Message) (all []*coap.Message) {
	v, _ := coap.OptionUint(m, coap.OptionObserve)
	for i := range 3 {
		r := coap.Respond(coap.Content, coap.NoFormat, []byte{byte(i)})
		r.Token = m.Token
		all = append(all, r)
		if v == coap.ObserveDeregister {
			break
		}
		coap.AddUint(r, coap.OptionObserve, uint32(i))
	}
	return all
}

func TestBrowserObserves(t *testing.T) {
	fakeBridge(t, "coap", bridge)
	ws, err := DialWS(context.Background(), "ws://127.0.0.1/.well-known/coap", WSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	type heard struct {
		m   *coap.Message
		err error
	}
	calls := make(chan heard, 10)
	request := func(value uint32) *coap.Message {
		m := coap.NewRequest(coap.GET, "/state", nil)
		coap.AddUint(m, coap.OptionObserve, value)
		return m
	}
	observe := func() coap.Observation {
		t.Helper()
		o, err := ws.Observe(context.Background(), lamp, request(0), func(m *coap.Message, err error) { calls <- heard{m, err} })
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if h := <-calls; h.err != nil || h.m.Payload[0] != byte(i) {
				t.Fatal(h.m, h.err)
			}
		}
		return o
	}
	o := observe()
	if err := o.Again(request(1)); err != nil {
		t.Fatal(err)
	}
	if h := <-calls; h.err != nil || coap.IsNotification(h.m) {
		t.Error("cancelled:", h.m, h.err)
	}
	if h := <-calls; !errors.Is(h.err, coap.ErrUnobserved) {
		t.Error("cancelled:", h.m, h.err)
	}
	observe().Close()
	observe()
	ws.fail(errors.New("gone"))
	if h := <-calls; !errors.Is(h.err, coap.ErrLink) {
		t.Error("the link breaks:", h.m, h.err)
	}
	if _, err := ws.Observe(context.Background(), lamp, request(0), nil); !errors.Is(err, coap.ErrLink) {
		t.Error("over a broken link:", err)
	}
}

func TestBrowserWebSocket(t *testing.T) {
	fakeBridge(t, "coap", bridge)
	ctx := context.Background()
	ws, err := DialWS(ctx, "ws://127.0.0.1/.well-known/coap", WSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ws.Exchange(ctx, lamp, coap.NewRequest(coap.POST, "/", []byte("x")))
	if err != nil || string(m.Payload) != "x" {
		t.Fatal(m, err)
	}
	if _, err := ws.Exchange(ctx, lamp, coap.NewRequest(coap.POST, "/timeout", nil)); !errors.Is(err, coap.ErrTimeout) {
		t.Error("5.04:", err)
	}
	if rtt, err := ws.Ping(ctx); err != nil || rtt <= 0 {
		t.Error(rtt, err)
	}
	got := 0
	err = ws.Multicast(ctx, netip.MustParseAddrPort("224.0.1.187:5683"), coap.NewRequest(coap.GET, "/", nil), time.Second, func(*coap.Message, netip.AddrPort) { got++ })
	if err != nil || got != 3 {
		t.Error(got, err)
	}
	if _, err := ws.Exchange(ctx, lamp, coap.NewRequest(coap.POST, "/big", make([]byte, 1<<17))); !errors.Is(err, ErrTooLarge) {
		t.Error("larger than the bridge takes:", err)
	}
	if _, err := ws.Exchange(ctx, lamp, coap.NewRequest(coap.GET, "/break", nil)); !errors.Is(err, coap.ErrLink) {
		t.Error("the connection breaks:", err)
	}
	<-ws.Done()
	if _, err := ws.Exchange(ctx, lamp, coap.NewRequest(coap.GET, "/", nil)); !errors.Is(err, coap.ErrLink) {
		t.Error("after the end:", err)
	}
}

func TestBrowserRefusals(t *testing.T) {
	for _, protocol := range []string{"refuse", "chat"} {
		fakeBridge(t, protocol, bridge)
		if _, err := DialWS(context.Background(), "ws://127.0.0.1/", WSOptions{}); !errors.Is(err, coap.ErrLink) {
			t.Errorf("%s: %v", protocol, err)
		}
	}
	fakeBridge(t, "coap", bridge)
	if _, err := DialWS(context.Background(), "ws://127.0.0.1/", WSOptions{MaxMessage: 3}); !errors.Is(err, coap.ErrLink) {
		t.Error("a message larger than we take:", err)
	}
}

func TestBrowserFetch(t *testing.T) {
	old := js.Global().Get("fetch")
	defer js.Global().Set("fetch", old)
	status, body := 200, `{"signedIn":true,"expires":5}`
	js.Global().Set("fetch", js.FuncOf(func(_ js.Value, args []js.Value) any {
		promise := js.Global().Get("Promise")
		if args[1].Get("credentials").String() != "same-origin" {
			return promise.Call("reject", js.Global().Get("Error").New("no cookie"))
		}
		if status == 0 {
			return promise.Call("reject", js.Global().Get("Error").New("refused"))
		}
		return promise.Call("resolve", map[string]any{"status": status, "text": js.FuncOf(func(js.Value, []js.Value) any { return promise.Call("resolve", body) })})
	}))
	ctx := context.Background()
	if s, err := SessionState(ctx, "http://127.0.0.1", ""); err != nil || !s.SignedIn || s.Expires != 5 {
		t.Error(s, err)
	}
	if token, err := SignIn(ctx, "http://127.0.0.1", "code"); err != nil || token != "" {
		t.Error(token, err)
	}
	status = 401
	if _, err := SignIn(ctx, "http://127.0.0.1", "code"); !errors.Is(err, ErrAccessCode) {
		t.Error(err)
	}
	status = 0
	if _, err := SessionState(ctx, "http://127.0.0.1", ""); !errors.Is(err, coap.ErrLink) {
		t.Error(err)
	}
	// A dial that fails is explained.
	fakeBridge(t, "refuse", bridge)
	status, body = 200, `{"signedIn":false}`
	if _, err := DialExplained(ctx, "http://127.0.0.1", WSOptions{}); !errors.Is(err, ErrSignedOut) {
		t.Error(err)
	}
}

// While the browser holds too much that it could not send, a writer waits; what
// the bridge refuses is told by Drain.
func TestBrowserBackPressure(t *testing.T) {
	sent := 0
	fakeBridge(t, coap.WSSubprotocol, func(m *coap.Message) []*coap.Message {
		if m.Code != coap.PUT {
			return bridge(m)
		}
		sent++
		refusal := coap.Problem(coap.TooManyRequests, "slower")
		refusal.Token = m.Token
		return []*coap.Message{refusal}
	})
	w, err := DialWS(t.Context(), "ws://bridge/", WSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.conn.ws.Set("bufferedAmount", maxBuffered+1)
	done := make(chan error, 1)
	go func() {
		done <- w.Multicast(t.Context(), lamp, coap.NewRequest(coap.PUT, "/fw/b", []byte("block")), 0, nil)
	}()
	select {
	case err := <-done:
		t.Fatal("it did not wait:", err)
	case <-time.After(20 * bufferedStep):
	}
	if sent != 0 {
		t.Fatal("it was sent all the same")
	}
	w.conn.ws.Set("bufferedAmount", 0)
	if err := <-done; err != nil || sent != 1 {
		t.Fatal(sent, err)
	}
	if err := w.Drain(t.Context()); !errors.Is(err, coap.ErrBusy) {
		t.Error("a refusal is told as", err)
	}
	if err := w.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(w.calls); n != 0 {
		t.Errorf("%d calls are remembered", n)
	}
}
