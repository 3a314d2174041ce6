package change_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs/settings.md lists every reason with its words.
func TestReasonsAreListed(t *testing.T) {
	docs, err := os.ReadFile("../../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("reason.go")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`because\("(cfg-[a-z-]+)", "([^"]*)", "([^"]*)"`).FindAllStringSubmatch(string(source), -1)
	if len(all) < 30 {
		t.Fatalf("%d reasons", len(all))
	}
	for _, r := range all {
		if row := "| `" + r[1] + "` | " + strings.TrimSpace(r[2]+" "+r[3]) + " |\n"; !strings.Contains(string(docs), row) {
			t.Errorf("it has not %s", row)
		}
	}
}
