"""The ledger: what was asked, what was answered, by whom; and the keys and conversations.

It stores and finds rows. It knows no HTTP, no engine and no page. Reads go through
`Database`, every write through the one `Writer`.
"""
