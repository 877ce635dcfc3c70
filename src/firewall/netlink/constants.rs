//! Numbers of the kernel's headers, under the names they have there.
//!
//! Sources: `linux/netlink.h`, `linux/netfilter/nfnetlink.h`, `linux/netfilter/nf_tables.h`,
//! `linux/netfilter.h`.

// linux/netlink.h: message types and flags
pub(crate) const NLMSG_NOOP: u16 = 1;
pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;
pub(crate) const NLMSG_OVERRUN: u16 = 4;
pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_DUMP_INTR: u16 = 0x10;
/// `NLM_F_ROOT | NLM_F_MATCH`.
pub(crate) const NLM_F_DUMP: u16 = 0x300;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_CREATE: u16 = 0x400;
pub(crate) const NLM_F_APPEND: u16 = 0x800;
/// On an error reply: the refused message's header is echoed, its payload is not.
pub(crate) const NLM_F_CAPPED: u16 = 0x100;
/// On an error reply: attributes (`NLMSGERR_ATTR_*`) follow.
pub(crate) const NLM_F_ACK_TLVS: u16 = 0x200;
pub(crate) const NLMSGERR_ATTR_MSG: u16 = 1;

// linux/netlink.h: attributes
pub(crate) const NLA_F_NESTED: u16 = 1 << 15;
/// Clears `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
pub(crate) const NLA_TYPE_MASK: u16 = 0x3fff;

// linux/netfilter/nfnetlink.h
pub(crate) const NFNL_SUBSYS_NFTABLES: u8 = 10;
pub(crate) const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
pub(crate) const NFNL_MSG_BATCH_END: u16 = 0x11;
pub(crate) const NFNL_BATCH_GENID: u16 = 1;

// linux/netfilter.h: protocol families and hooks
pub(crate) const NFPROTO_UNSPEC: u8 = 0;
pub(crate) const NFPROTO_INET: u8 = 1;
pub(crate) const NFPROTO_IPV4: u8 = 2;
pub(crate) const NFPROTO_IPV6: u8 = 10;
pub(crate) const NF_INET_PRE_ROUTING: u32 = 0;
pub(crate) const NF_DROP: u32 = 0;
pub(crate) const NF_ACCEPT: u32 = 1;

// linux/netfilter/nf_tables.h: enum nf_tables_msg_types, with the subsystem in the high byte
const NFTABLES: u16 = 10 << 8;
pub(crate) const NFT_MSG_NEWTABLE: u16 = NFTABLES;
pub(crate) const NFT_MSG_GETTABLE: u16 = NFTABLES | 1;
pub(crate) const NFT_MSG_DELTABLE: u16 = NFTABLES | 2;
pub(crate) const NFT_MSG_NEWCHAIN: u16 = NFTABLES | 3;
pub(crate) const NFT_MSG_GETCHAIN: u16 = NFTABLES | 4;
pub(crate) const NFT_MSG_DELCHAIN: u16 = NFTABLES | 5;
pub(crate) const NFT_MSG_NEWRULE: u16 = NFTABLES | 6;
pub(crate) const NFT_MSG_GETRULE: u16 = NFTABLES | 7;
pub(crate) const NFT_MSG_DELRULE: u16 = NFTABLES | 8;
pub(crate) const NFT_MSG_NEWSET: u16 = NFTABLES | 9;
pub(crate) const NFT_MSG_GETSET: u16 = NFTABLES | 10;
pub(crate) const NFT_MSG_DELSET: u16 = NFTABLES | 11;
pub(crate) const NFT_MSG_NEWSETELEM: u16 = NFTABLES | 12;
pub(crate) const NFT_MSG_GETSETELEM: u16 = NFTABLES | 13;
pub(crate) const NFT_MSG_DELSETELEM: u16 = NFTABLES | 14;
pub(crate) const NFT_MSG_NEWGEN: u16 = NFTABLES | 15;
pub(crate) const NFT_MSG_GETGEN: u16 = NFTABLES | 16;

// enum nft_list_attributes, nft_gen_attributes
pub(crate) const NFTA_LIST_ELEM: u16 = 1;
pub(crate) const NFTA_GEN_ID: u16 = 1;
pub(crate) const NFTA_GEN_PROC_PID: u16 = 2;
pub(crate) const NFTA_GEN_PROC_NAME: u16 = 3;

// enum nft_table_flags, nft_table_attributes
pub(crate) const NFT_TABLE_F_OWNER: u32 = 0x2;
pub(crate) const NFT_TABLE_F_PERSIST: u32 = 0x4;
pub(crate) const NFTA_TABLE_NAME: u16 = 1;
pub(crate) const NFTA_TABLE_FLAGS: u16 = 2;
pub(crate) const NFTA_TABLE_OWNER: u16 = 7;

// enum nft_chain_attributes, nft_hook_attributes
pub(crate) const NFTA_CHAIN_TABLE: u16 = 1;
pub(crate) const NFTA_CHAIN_NAME: u16 = 3;
pub(crate) const NFTA_CHAIN_HOOK: u16 = 4;
pub(crate) const NFTA_CHAIN_POLICY: u16 = 5;
pub(crate) const NFTA_CHAIN_TYPE: u16 = 7;
pub(crate) const NFTA_HOOK_HOOKNUM: u16 = 1;
pub(crate) const NFTA_HOOK_PRIORITY: u16 = 2;

// enum nft_rule_attributes, nft_expr_attributes
pub(crate) const NFTA_RULE_TABLE: u16 = 1;
pub(crate) const NFTA_RULE_CHAIN: u16 = 2;
pub(crate) const NFTA_RULE_EXPRESSIONS: u16 = 4;
pub(crate) const NFTA_EXPR_NAME: u16 = 1;
pub(crate) const NFTA_EXPR_DATA: u16 = 2;

// enum nft_set_flags, nft_set_attributes, nft_set_desc_attributes
pub(crate) const NFT_SET_INTERVAL: u32 = 0x4;
pub(crate) const NFT_SET_TIMEOUT: u32 = 0x10;
/// Rules may change its elements; nft says `dynamic`.
pub(crate) const NFT_SET_EVAL: u32 = 0x20;
/// Its intervals are of several parts.
pub(crate) const NFT_SET_CONCAT: u32 = 0x80;
pub(crate) const NFTA_SET_TABLE: u16 = 1;
pub(crate) const NFTA_SET_NAME: u16 = 2;
pub(crate) const NFTA_SET_FLAGS: u16 = 3;
pub(crate) const NFTA_SET_KEY_TYPE: u16 = 4;
pub(crate) const NFTA_SET_KEY_LEN: u16 = 5;
pub(crate) const NFTA_SET_DESC: u16 = 9;
/// How many elements there are, those included that are over and not yet collected; since Linux 6.16.
pub(crate) const NFTA_SET_COUNT: u16 = 20;
pub(crate) const NFTA_SET_ID: u16 = 10;
/// An expression that each element is given; since Linux 5.7.
pub(crate) const NFTA_SET_EXPR: u16 = 17;
pub(crate) const NFTA_SET_DESC_SIZE: u16 = 1;
/// The parts of keys of which each element is an interval; since Linux 5.6.
pub(crate) const NFTA_SET_DESC_CONCAT: u16 = 2;
pub(crate) const NFTA_SET_FIELD_LEN: u16 = 1;

// enum nft_set_elem_attributes, nft_set_elem_list_attributes, nft_set_elem_flags
pub(crate) const NFT_SET_ELEM_INTERVAL_END: u32 = 0x1;
pub(crate) const NFTA_SET_ELEM_KEY: u16 = 1;
pub(crate) const NFTA_SET_ELEM_FLAGS: u16 = 3;
pub(crate) const NFTA_SET_ELEM_TIMEOUT: u16 = 4;
pub(crate) const NFTA_SET_ELEM_EXPIRATION: u16 = 5;
pub(crate) const NFTA_SET_ELEM_EXPR: u16 = 7;
pub(crate) const NFTA_SET_ELEM_KEY_END: u16 = 10;
pub(crate) const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
pub(crate) const NFTA_SET_ELEM_LIST_SET: u16 = 2;
pub(crate) const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;

// enum nft_data_attributes, nft_verdict_attributes, nft_registers, nft_verdicts
pub(crate) const NFTA_DATA_VALUE: u16 = 1;
pub(crate) const NFTA_DATA_VERDICT: u16 = 2;
pub(crate) const NFTA_VERDICT_CODE: u16 = 1;
pub(crate) const NFTA_VERDICT_CHAIN: u16 = 2;
pub(crate) const NFT_REG_VERDICT: u32 = 0;
pub(crate) const NFT_REG_1: u32 = 1;
/// Registers of 4 bytes: this one and the three behind it share their place with `NFT_REG_1`.
pub(crate) const NFT_REG32_00: u32 = 8;
/// `NFT_JUMP` is -3.
pub(crate) const NFT_JUMP: u32 = (-3_i32).cast_unsigned();
/// `NFT_GOTO` is -4.
pub(crate) const NFT_GOTO: u32 = (-4_i32).cast_unsigned();

// the expressions: meta, cmp, payload, bitwise, lookup, dynset, immediate, counter, limit, log, reject
pub(crate) const NFT_META_IIFNAME: u32 = 6;
pub(crate) const NFT_META_NFPROTO: u32 = 15;
pub(crate) const NFT_META_L4PROTO: u32 = 16;
pub(crate) const NFTA_META_DREG: u16 = 1;
pub(crate) const NFTA_META_KEY: u16 = 2;
pub(crate) const NFT_CMP_EQ: u32 = 0;
pub(crate) const NFTA_CMP_SREG: u16 = 1;
pub(crate) const NFTA_CMP_OP: u16 = 2;
pub(crate) const NFTA_CMP_DATA: u16 = 3;
pub(crate) const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
pub(crate) const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;
pub(crate) const NFTA_PAYLOAD_DREG: u16 = 1;
pub(crate) const NFTA_PAYLOAD_BASE: u16 = 2;
pub(crate) const NFTA_PAYLOAD_OFFSET: u16 = 3;
pub(crate) const NFTA_PAYLOAD_LEN: u16 = 4;
pub(crate) const NFTA_BITWISE_SREG: u16 = 1;
pub(crate) const NFTA_BITWISE_DREG: u16 = 2;
pub(crate) const NFTA_BITWISE_LEN: u16 = 3;
pub(crate) const NFTA_BITWISE_MASK: u16 = 4;
pub(crate) const NFTA_BITWISE_XOR: u16 = 5;
pub(crate) const NFTA_LOOKUP_SET: u16 = 1;
pub(crate) const NFTA_LOOKUP_SREG: u16 = 2;
pub(crate) const NFTA_DYNSET_SET_NAME: u16 = 1;
pub(crate) const NFTA_DYNSET_OP: u16 = 3;
pub(crate) const NFTA_DYNSET_SREG_KEY: u16 = 4;
pub(crate) const NFTA_DYNSET_TIMEOUT: u16 = 6;
/// Adds an element, or gives the one that is there the timeout anew.
pub(crate) const NFT_DYNSET_OP_UPDATE: u32 = 1;
pub(crate) const NFTA_IMMEDIATE_DREG: u16 = 1;
pub(crate) const NFTA_IMMEDIATE_DATA: u16 = 2;
pub(crate) const NFTA_COUNTER_BYTES: u16 = 1;
pub(crate) const NFTA_COUNTER_PACKETS: u16 = 2;
pub(crate) const NFTA_LIMIT_RATE: u16 = 1;
pub(crate) const NFTA_LIMIT_UNIT: u16 = 2;
pub(crate) const NFTA_LIMIT_BURST: u16 = 3;
pub(crate) const NFTA_LOG_GROUP: u16 = 1;
pub(crate) const NFTA_LOG_PREFIX: u16 = 2;
pub(crate) const NFTA_LOG_LEVEL: u16 = 5;
/// `NFT_LOGLEVEL_INFO`.
pub(crate) const NFT_LOGLEVEL_INFO: u32 = 6;
pub(crate) const NFTA_REJECT_TYPE: u16 = 1;
pub(crate) const NFTA_REJECT_ICMP_CODE: u16 = 2;
pub(crate) const NFT_REJECT_TCP_RST: u32 = 1;
pub(crate) const NFT_REJECT_ICMPX_UNREACH: u32 = 2;
pub(crate) const NFT_REJECT_ICMPX_ADMIN_PROHIBITED: u8 = 3;
