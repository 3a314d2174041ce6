package as

// Event is what [Config.Count] hears of, once it is durable.
type Event string

// Events of an Authorization Server.
const (
	EventIssued   Event = "issued" // a token
	EventDenied   Event = "denied" // a token
	EventEnrolled Event = "enrolled"
	EventRevoked  Event = "revoked" // a person or an invitation
	EventFailed   Event = "failed"  // a request was answered with 5.xx: the server's own fault
)

// Events lists all of them.
var Events = []Event{EventIssued, EventDenied, EventEnrolled, EventRevoked, EventFailed}

func (s *Server) count(e Event) {
	if s.cfg.Count != nil {
		s.cfg.Count(e)
	}
}
