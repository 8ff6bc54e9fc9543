//! What the host itself knows of Bitcoin-family bytes: coinbases, addresses, transactions, signed messages.
