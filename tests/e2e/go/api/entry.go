package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/wrapperspb"

	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
)

func selectors(values ...string) (list []*types.Selector) {
	for _, value := range values {
		kind, rest, _ := strings.Cut(value, ":")
		list = append(list, &types.Selector{Type: kind, Value: rest})
	}
	return list
}

// tellEntry says what does not change from run to run.
func tellEntry(e *types.Entry) string {
	var words []string
	for _, s := range e.GetSelectors() {
		words = append(words, s.Type+":"+s.Value)
	}
	slices.Sort(words)
	return strings.TrimSpace(fmt.Sprintf("%s<%s %v ttl=%d/%d dns=%v hint=%q revision=%d", e.GetSpiffeId().GetPath(), e.GetParentId().GetPath(),
		words, e.GetX509SvidTtl(), e.GetJwtSvidTtl(), e.GetDnsNames(), e.GetHint(), e.GetRevisionNumber()))
}

func (s *site) entries(by caller) {
	c := entryv1.NewEntryClient(by.conn)
	under := "/" + by.name
	good := func() *types.Entry {
		return &types.Entry{
			SpiffeId: s.id(under + "/web"), ParentId: s.id(under), Selectors: selectors("unix:uid:1", "unix:gid:2"),
			X509SvidTtl: 60, JwtSvidTtl: 30, DnsNames: []string{"web.test"}, Hint: "front",
		}
	}
	but := func(change func(*types.Entry)) *types.Entry {
		e := good()
		change(e)
		return e
	}
	var made string
	created := func(r *entryv1.BatchCreateEntryResponse) string {
		var told []string
		for _, item := range r.Results {
			if item.Entry != nil && item.Status.GetCode() == 0 {
				made = item.Entry.Id
			}
			if item.Entry != nil {
				told = append(told, tellEntry(item.Entry))
			}
		}
		return statuses(r.Results) + "; " + strings.Join(told, ", ")
	}
	create := func(name string, entries ...*types.Entry) {
		s.call(by, "Entry/BatchCreateEntry", name, ask(c.BatchCreateEntry, &entryv1.BatchCreateEntryRequest{Entries: entries}, created))
	}
	create("nothing")
	create("good", good())
	create("again", good())
	entry := made
	create("bad ones",
		but(func(e *types.Entry) { e.SpiffeId = nil }),
		but(func(e *types.Entry) { e.SpiffeId = foreign("/web") }),
		but(func(e *types.Entry) { e.SpiffeId = s.id("no-slash") }),
		but(func(e *types.Entry) { e.SpiffeId = s.id("/sp ace") }),
		but(func(e *types.Entry) { e.SpiffeId = s.id("/spire/reserved") }),
		but(func(e *types.Entry) { e.ParentId = nil }),
		but(func(e *types.Entry) { e.ParentId = foreign("/node") }),
		but(func(e *types.Entry) { e.Selectors = nil }),
		but(func(e *types.Entry) { e.Selectors = []*types.Selector{{Type: "a:b", Value: "c"}} }),
		but(func(e *types.Entry) { e.Selectors = []*types.Selector{{Type: "unix"}} }),
		but(func(e *types.Entry) { e.X509SvidTtl = -1 }),
		but(func(e *types.Entry) { e.JwtSvidTtl = -1 }),
		but(func(e *types.Entry) { e.DnsNames = []string{"a..b"} }),
		but(func(e *types.Entry) { e.SpiffeId, e.FederatesWith = s.id(under+"/federated"), []string{"nobody.test"} }),
		but(func(e *types.Entry) { e.SpiffeId, e.StoreSvid = s.id(under+"/stored"), true }),
	)
	create("good between bad ones",
		but(func(e *types.Entry) { e.SpiffeId = nil }),
		but(func(e *types.Entry) { e.SpiffeId, e.Id = s.id(under+"/own-id"), by.name+"-own-id" }),
		but(func(e *types.Entry) { e.Selectors = nil }),
	)

	get := func(name, id string, mask *types.EntryMask) {
		s.call(by, "Entry/GetEntry", name, ask(c.GetEntry, &entryv1.GetEntryRequest{Id: id, OutputMask: mask}, tellEntry))
	}
	get("good", entry, nil)
	get("masked", entry, &types.EntryMask{SpiffeId: true})
	get("no id", "", nil)
	get("unknown", "nobody", nil)

	filter := func(f *entryv1.ListEntriesRequest_Filter) *entryv1.ListEntriesRequest {
		return &entryv1.ListEntriesRequest{Filter: f}
	}
	list := func(name string, request *entryv1.ListEntriesRequest) {
		s.call(by, "Entry/ListEntries", name, ask(c.ListEntries, request, func(r *entryv1.ListEntriesResponse) string {
			var told []string
			for _, e := range r.Entries {
				told = append(told, e.GetSpiffeId().GetPath())
			}
			return fmt.Sprintf("%v more=%v", told, r.NextPageToken != "")
		}))
	}
	list("of parent", filter(&entryv1.ListEntriesRequest_Filter{ByParentId: s.id(under)}))
	list("of SPIFFE ID", filter(&entryv1.ListEntriesRequest_Filter{BySpiffeId: s.id(under + "/web")}))
	list("of hint and parent", filter(&entryv1.ListEntriesRequest_Filter{ByParentId: s.id(under), ByHint: wrapperspb.String("front")}))
	list("of selectors", filter(&entryv1.ListEntriesRequest_Filter{ByParentId: s.id(under), BySelectors: &types.SelectorMatch{Selectors: selectors("unix:uid:1"), Match: types.SelectorMatch_MATCH_SUPERSET}}))
	list("of a page", &entryv1.ListEntriesRequest{PageSize: 1, Filter: &entryv1.ListEntriesRequest_Filter{ByParentId: s.id(under)}})
	list("bad token", &entryv1.ListEntriesRequest{PageSize: 1, PageToken: "x"})
	list("foreign parent", filter(&entryv1.ListEntriesRequest_Filter{ByParentId: foreign("/x")}))
	list("bad selectors", filter(&entryv1.ListEntriesRequest_Filter{BySelectors: &types.SelectorMatch{Selectors: []*types.Selector{{Type: ""}}}}))

	count := func(name string, f *entryv1.CountEntriesRequest_Filter) {
		s.call(by, "Entry/CountEntries", name, ask(c.CountEntries, &entryv1.CountEntriesRequest{Filter: f}, func(r *entryv1.CountEntriesResponse) string { return fmt.Sprint(r.Count) }))
	}
	count("of parent", &entryv1.CountEntriesRequest_Filter{ByParentId: s.id(under)})
	count("foreign", &entryv1.CountEntriesRequest_Filter{BySpiffeId: foreign("/x")})

	s.call(by, "Entry/BatchUpdateEntry", "good, unknown, bad", ask(c.BatchUpdateEntry, &entryv1.BatchUpdateEntryRequest{
		Entries: []*types.Entry{
			{Id: entry, Hint: "back", X509SvidTtl: 90},
			{Id: "nobody", Hint: "back", X509SvidTtl: 90},
			{Id: entry, X509SvidTtl: -1},
		},
		InputMask: &types.EntryMask{Hint: true, X509SvidTtl: true},
	}, func(r *entryv1.BatchUpdateEntryResponse) string {
		return statuses(r.Results) + "; " + tellEntry(r.Results[0].Entry)
	}))
	s.call(by, "Entry/BatchDeleteEntry", "good, again, none", ask(c.BatchDeleteEntry, &entryv1.BatchDeleteEntryRequest{Ids: []string{entry, entry, ""}},
		func(r *entryv1.BatchDeleteEntryResponse) string { return statuses(r.Results) }))
}

// authorized puts the RPCs that only agents may use.
func (s *site) authorized(by caller, wanted []string) {
	c := entryv1.NewEntryClient(by.conn)
	tell := func(entries []*types.Entry) string {
		found := map[string]bool{}
		for _, e := range entries {
			found[e.Id] = true
		}
		for _, id := range wanted {
			if !found[id] {
				return "misses an entry"
			}
		}
		return fmt.Sprint(len(entries))
	}
	s.call(by, "Entry/GetAuthorizedEntries", "good", ask(c.GetAuthorizedEntries, &entryv1.GetAuthorizedEntriesRequest{},
		func(r *entryv1.GetAuthorizedEntriesResponse) string { return tell(r.Entries) }))
	sync := func(name string, request *entryv1.SyncAuthorizedEntriesRequest) {
		s.call(by, "Entry/SyncAuthorizedEntries", name, func(ctx context.Context) (string, error) {
			stream, err := c.SyncAuthorizedEntries(ctx)
			if err != nil {
				return "", err
			}
			// What went wrong is what Recv says.
			_ = stream.Send(request)
			answer, err := stream.Recv()
			if err != nil {
				return "", err
			}
			if _, end := stream.Recv(); end != io.EOF {
				return fmt.Sprintf("no end but %v", end), nil
			}
			return fmt.Sprintf("%s more=%v", tell(answer.Entries), answer.More), nil
		})
	}
	sync("good", &entryv1.SyncAuthorizedEntriesRequest{})
	sync("ids at first", &entryv1.SyncAuthorizedEntriesRequest{Ids: []string{"x"}})
	sync("no revision", &entryv1.SyncAuthorizedEntriesRequest{OutputMask: &types.EntryMask{SpiffeId: true}})
}
