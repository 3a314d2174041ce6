package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"lamplighter/internal/ace"
)

type checkConfigCmd struct {
	File string `arg:"" type:"existingfile" help:"Configuration file."`
}

// Help is what `lamplighter check-config --help` adds.
func (checkConfigCmd) Help() string {
	return "Says everything that is wrong with the file, with its lines, and with what it names: addresses, networks, files and who may read them."
}

func (c checkConfigCmd) Run(k *kong.Kong) error {
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	config, problems := readConfig(file, k.Model)
	problems = append(problems, config.check(k.Model)...)
	slices.SortStableFunc(problems, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
	for _, p := range slices.Compact(problems) {
		fmt.Printf("%s: %s\n", c.File, p)
	}
	switch n := len(problems); n {
	case 0:
		fmt.Printf("%s: nothing is wrong\n", c.File)
		return nil
	case 1:
		return errors.New("one problem")
	default:
		return fmt.Errorf("%d problems", n)
	}
}

// check holds the values against their flags and against this machine.
func (c configFile) check(app *kong.Application) (problems []problem) {
	for section, all := range c {
		for name, s := range all {
			say := func(format string, args ...any) {
				problems = append(problems, problem{s.line, fmt.Sprintf(format, args...)})
			}
			flag := findFlag(app, section, name)
			if err := s.parse(flag); err != nil {
				say("%q: %s.", name, strings.TrimPrefix(err.Error(), flag.ShortSummary()+": "))
				continue
			}
			if test := valueChecks[name]; test != nil {
				for _, value := range s.values() {
					if why := test(value); why != "" {
						say("%q: %s", name, why)
					}
				}
			}
			if name == "data" {
				problems = append(problems, checkData(s)...)
			}
		}
		problems = append(problems, c.checkTLS(section)...)
	}
	return problems
}

func (s setting) values() []string {
	if s.list {
		return strings.Split(s.value, ",")
	}
	return []string{s.value}
}

// valueChecks look at what a flag's type does not tell; they return what is wrong.
var valueChecks = map[string]func(string) string{
	"listen":              checkListen,
	"dtls":                checkListen,
	"metrics":             checkListen,
	"group":               checkGroup,
	"multicast":           checkMulticast,
	"interface":           checkInterface,
	"multicast-interface": checkInterface,
	"origin":              checkOrigin,
	"network":             checkNetwork,
	"target":              checkNetwork,
}

// checkListen wants an address of this machine.
func checkListen(value string) string {
	host, _, err := net.SplitHostPort(value)
	if err != nil {
		return fmt.Sprintf("%s is no address with a port.", value)
	}
	addr, err := netip.ParseAddr(host)
	if host == "" || host == "localhost" || err == nil && (addr.IsUnspecified() || addr.IsLoopback()) {
		return ""
	}
	if err != nil {
		return fmt.Sprintf("%s is no IP address.", host)
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().WithZone("") == addr.WithZone("") {
			return ""
		}
	}
	return fmt.Sprintf("%s is no address of this machine.", host)
}

func checkGroup(value string) string {
	if !ace.ValidGroupName(value) {
		return fmt.Sprintf("%q cannot be a group's name.", value)
	}
	return ""
}

func checkMulticast(value string) string {
	if addr, err := netip.ParseAddrPort(value); err == nil && !addr.Addr().IsMulticast() {
		return fmt.Sprintf("%s is no multicast address.", value)
	}
	return ""
}

func checkInterface(value string) string {
	if _, err := net.InterfaceByName(value); err != nil {
		return fmt.Sprintf("this machine has no network interface %q.", value)
	}
	return ""
}

func checkOrigin(value string) string {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Sprintf("%s is no origin such as https://lights.example.", value)
	}
	if u.Scheme == "http" && u.Hostname() != "localhost" && !strings.HasPrefix(u.Hostname(), "127.") {
		return fmt.Sprintf("%s has no TLS: browsers do not start the page there.", value)
	}
	return ""
}

func checkNetwork(value string) string {
	if p, err := netip.ParsePrefix(value); err == nil && p.Masked() != p {
		return fmt.Sprintf("%s has bits outside of the network: it is %s.", value, p.Masked())
	}
	return ""
}

// checkTLS reads the certificate and its key.
func (c configFile) checkTLS(section string) []problem {
	cert, key := c[section]["tls-cert"], c[section]["tls-key"]
	switch {
	case cert.line == 0 && key.line == 0:
		return nil
	case cert.line == 0 || key.line == 0:
		return []problem{{max(cert.line, key.line), "tls-cert and tls-key belong together."}}
	}
	if _, err := tls.LoadX509KeyPair(cert.value, key.value); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return []problem{{cert.line, fmt.Sprintf("the certificate and its key do not work: %s.", err)}}
	}
	return nil
}

// checkData looks at who may read the keys in a data folder. A folder that is not
// there yet is made at the first start.
func checkData(s setting) (problems []problem) {
	info, err := os.Stat(s.value)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(s.value)); err != nil {
			return []problem{{s.line, fmt.Sprintf("there is no folder %s to make it in.", filepath.Dir(s.value))}}
		}
		return nil
	}
	if err != nil || !info.IsDir() {
		return []problem{{s.line, fmt.Sprintf("%s is no folder that can be read.", s.value)}}
	}
	for _, pattern := range []string{"*.db", "keys", "keys/*", "access", "access/*"} {
		found, _ := filepath.Glob(filepath.Join(s.value, pattern))
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
				problems = append(problems, problem{s.line, fmt.Sprintf("others than its owner may read or change %s: chmod go= it.", path)})
			}
		}
	}
	return problems
}
