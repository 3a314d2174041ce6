package admin_test

import (
	"context"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/admin"
	"lamplighter/internal/coap"
)

// gm answers as a Group Manager would.
type gm struct{}

func (gm) Call(_ context.Context, req *coap.Message) (*coap.Message, error) {
	fmt.Println(req.Code, coap.Path(req))
	if req.Code == coap.GET {
		return coap.Respond(coap.Content, coap.FormatLink, []byte(`</manage/hall>;rt="core.osc.gconf"`)), nil
	}
	answer := coap.Respond(coap.Created, ace.FormatACEGroupcomm, ace.Encode(ace.Configuration{
		GroupName: ace.Is(ace.NamedGroup("hall")), JoiningURI: ace.Is("/ace-group/hall"), ASURI: ace.Is("coap://as.example.com/token"),
	}))
	coap.AddOption(answer, coap.OptionLocationPath, []byte("manage"))
	coap.AddOption(answer, coap.OptionLocationPath, []byte("hall"))
	return answer, nil
}

func Example() {
	c := admin.New(gm{}, "gm.example.com") // over an association that package join made
	out, err := c.Create(context.Background(), ace.Configuration{
		GroupName: ace.Is(ace.NamedGroup("hall")), Active: ace.Is(true), GroupDescription: ace.Is("lights of the hall"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	list, err := c.List(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out.Name, out.JoiningURI, list.Names)
	// Output:
	// POST /manage
	// GET /manage
	// hall /ace-group/hall [hall]
}
