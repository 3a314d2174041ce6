package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lamplighter/bridge/proxy"
	"lamplighter/internal/label"
	"lamplighter/internal/store"
)

// unprotected is what may cross the bridge without OSCORE, and why. DESIGN S2,
// docs/security.md.
var unprotected = map[string]string{
	"signal 7.01":                   "CSM: settings of the hop to the bridge (RFC 8323, Section 5.3)",
	"signal 7.02":                   "Ping: of the hop (RFC 8323, Section 5.4)",
	"signal 7.03":                   "Pong: of the hop (RFC 8323, Section 5.4)",
	"GET /":                         "Early Stop Request: for the bridge alone; it names a token, no resource",
	"GET /.well-known/core":         "discovery comes before any key",
	"2.05 to GET /.well-known/core": "ids and models: what labels show to everybody who stands below",
	"2.05 to GET /":                 "an answer to a discovery that came after its Early Stop Request",
	"POST /authz-info":              "the token transfer makes the association; the token is encrypted to the Group Manager (RFC 9203, Section 4)",
	"2.01 to POST /authz-info":      "nonces and identifiers for it, and what the token's groups use",
	"GET /ll/id":                    "explains a refusal that nothing protects: whose the lamp is",
	"2.05 to GET /ll/id":            "what discovery tells anyway, and whether the lamp is claimed",
	"4.00 to a protected request":   "it could not be decrypted: there is no key to answer under (RFC 8613, Section 8.2)",
	"4.01 to a protected request":   "the other side has no context to protect it with (RFC 8613, Section 8.2)",
}

// TestTraffic holds everything that crosses the bridge in the life of a site
// against the keys and plaintexts of all sides, and every message that is not
// OSCORE against the list above. DESIGN S2.
func TestTraffic(t *testing.T) {
	s := startFaultSite(t, 4, func(c *demoCmd) { c.Inspect = "127.0.0.1:0" })
	for secret, what := range s.secrets {
		if what != "an access code" { // it opens the bridge, so the bridge sees it
			s.tap.see(what, []byte(secret))
		}
	}
	ann, bob := s.enrolled("Ann"), s.enrolled("Bob")
	wrong := s.table(func(_ int, l *label.Label) { l.Secret = []byte("the wrong secret") })
	if _, err := bob.ImportLabels(t.Context(), wrong); err != nil {
		t.Fatal(err)
	}
	if j := bob.wait(bob.Claim(t.Context(), s.ids()[:1])); j.Failed != 1 {
		t.Errorf("claimed by a wrong secret: %+v", j)
	}
	ann.importAll()
	if _, err := ann.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	ann.join(s.ids()...)
	ann.light(true)
	ann.roll()
	if err := ann.Blink(t.Context(), s.id(1), 1); err != nil {
		t.Error(err)
	}
	s.lamps.lamps[2].powerOff()
	s.powerOn(2)
	ann.roll()
	ann.done(ann.wait(ann.Leave(t.Context(), faultGroup, s.ids()[:1])))
	ann.roll()
	ann.done(ann.wait(ann.Release(t.Context(), s.ids()[1:2])))
	again := s.install(ann.store)
	again.roll()

	r := s.tap.report()
	t.Logf("%d frames, %d protected messages, %d secrets, unprotected: %v", r.Frames, r.Protected, r.Secrets, r.Unprotected)
	for _, leak := range r.Leaks {
		t.Error(leak)
	}
	if r.Secrets < 100 || r.Protected < 100 || r.Frames < 2*r.Protected {
		t.Error("too little was searched to show anything")
	}
	for kind := range r.Unprotected {
		if unprotected[kind] == "" {
			t.Errorf("%s crossed the bridge unprotected: it is not on the list of exceptions", kind)
		}
	}
	for _, kind := range []string{"signal 7.01", "GET /.well-known/core", "POST /authz-info", "GET /ll/id"} {
		if r.Unprotected[kind] == 0 {
			t.Errorf("no %s was seen: the list claims more than is true", kind)
		}
	}
	// The search finds a secret when there is one.
	secret := s.lamps.lamps[0].config.LabelSecret
	s.tap.record(proxy.ToDevice, netip.AddrPort{}, bytes.Join([][]byte{[]byte("before"), secret, []byte("after")}, nil))
	if len(s.tap.report().Leaks) == 0 {
		t.Error("a planted label secret was not found")
	}
}

// TestSideBySide runs two demos: each search finds its own lamps only, each
// command reaches its own, and ending one does not disturb the other.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	left, right := startFaultSite(t, 3), startFaultSite(t, 2)
	if left.slot.number == right.slot.number || left.slot.group == right.slot.group {
		t.Fatalf("both are in slot %d", left.slot.number)
	}
	ann, bob := left.enrolled("Ann"), right.enrolled("Bob")
	for n, site := range map[int]*installer{3: ann, 2: bob} {
		if found, err := site.Discover(t.Context()); err != nil || found != n {
			t.Errorf("%d lamps found, want %d; %v", found, n, err)
		}
		site.importAll()
		site.join(site.s.ids()...)
	}
	for _, ids := range [][]string{left.ids(), right.ids()} {
		for _, d := range append(ann.Snapshot().Devices, bob.Snapshot().Devices...) {
			if d.ID == ids[0] && d.State != "joined" {
				t.Errorf("%s is %s", d.ID, d.State)
			}
		}
	}
	ann.light(false)
	bob.light(false)
	ann.light(true)
	left.lit(true, 0, 1, 2)
	right.lit(false, 0, 1)
	ann.roll()
	if call := bob.roll(); len(call.Answers) != 2 {
		t.Errorf("%d rows at Bob's", len(call.Answers))
	}
	right.gm.stop()
	right.lamps.stop()
	ann.roll()
	ann.done(ann.wait(ann.Leave(t.Context(), faultGroup, left.ids()[:1])))
	ann.roll()
	// An invitation of one site is of no use at the other.
	eve := right.install(store.NewMemory())
	_, err := eve.AcceptInvitation(t.Context(), left.invitation("Eve").Encode())
	right.told(err, "sign-in-refused")
}

// selfSigned writes a certificate for loopback and its key.
func selfSigned(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lamplighter test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}

// TestTLS serves the page over https and CoAP over wss: a program that trusts the
// certificate commissions the site, the session's cookie is for https alone, and
// plain http gets nothing.
func TestTLS(t *testing.T) {
	cert, key, pool := selfSigned(t)
	s := startFaultSite(t, 2, func(c *demoCmd) { c.TLSCert, c.TLSKey = cert, key })
	base := s.bridge.url()
	if !strings.HasPrefix(base, "https://") || !strings.HasPrefix(s.link, base+"/#i=") {
		t.Errorf("the link begins with %.20q", s.link)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: 10 * time.Second}
	req, err := http.NewRequestWithContext(t.Context(), "POST", base+"/session", strings.NewReader(`{"code":"`+s.accessCode()+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", base)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	cookies := resp.Cookies()
	if len(cookies) != 1 || !cookies[0].Secure || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || !strings.HasPrefix(cookies[0].Name, "__Host-") {
		t.Errorf("%s, cookies %v", resp.Status, cookies)
	}
	for _, c := range cookies {
		s.secret("a session's cookie", []byte(c.Value))
	}
	plain, err := http.Post("http"+strings.TrimPrefix(base, "https")+"/session", "application/json", strings.NewReader("{}"))
	if err == nil {
		body, _ := io.ReadAll(plain.Body)
		plain.Body.Close()
		if plain.StatusCode != http.StatusBadRequest || len(plain.Cookies()) > 0 {
			t.Errorf("plain http: %s, %s", plain.Status, body)
		}
	}
	if _, err := http.Get(base); err == nil {
		t.Error("a client that does not trust the certificate was served")
	}
	t.Setenv("SSL_CERT_FILE", cert)
	nonces := filepath.Join(t.TempDir(), "nonces")
	p := startProcess(t, "of 2 verified", "commission", "--link", s.link, "--labels", s.labelsFile(),
		"--data", filepath.Join(t.TempDir(), "site"), "--group", faultGroup, "--on", "--nonce-log", nonces)
	if err := p.cmd.Wait(); err != nil || !strings.Contains(p.printed(), "2 of 2 verified") {
		t.Errorf("%v:\n%s", err, p.printed())
	}
	s.seen.Write([]byte(p.printed()))
	noteNonceLog(t, nonces)
	s.joinedOnce(1, s.ids()...)
	s.lit(true, 0, 1)
	for _, half := range []tlsFlags{{TLSCert: cert}, {TLSKey: key}} {
		options := s.bridgeOptions
		options.tls, options.listen = half, "127.0.0.1:0"
		if b, err := startBridge(options); err == nil {
			b.stop()
			t.Error("a certificate without its key, or a key without its certificate, was taken")
		}
	}
}

// TestOrigin serves the page under an address of the network: the link begins with
// it, pages from there may sign in, others are told what is missing.
func TestOrigin(t *testing.T) {
	const origin = "https://lights.example:8443"
	s := startFaultSite(t, 1, func(c *demoCmd) { c.Origins = []string{origin} })
	if !strings.HasPrefix(s.link, origin+"/#i=") {
		t.Errorf("the link begins with %.30q", s.link)
	}
	for host, want := range map[string]int{"lights.example:8443": http.StatusOK, "other.example:8443": http.StatusMisdirectedRequest} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.bridge.url()+"/session", strings.NewReader(`{"code":"`+s.accessCode()+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Origin", origin)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || want != http.StatusOK && !strings.Contains(string(text), "--origin") {
			t.Errorf("%s: %s, %s", host, resp.Status, text)
		}
		for _, c := range resp.Cookies() {
			s.secret("a session's cookie", []byte(c.Value))
		}
	}
}
