"""Lines of the raw formats with the quirks that the real files have; tests write out what becomes of them."""

import json

# The samples that the authors publish with the Amazon data.
REVIEW = {
    "reviewerID": "A2SUAM1J3GNN3B",
    "asin": "0000013714",
    "reviewerName": "J. McDonald",
    "helpful": [2, 3],
    "reviewText": "I bought this for my husband who plays the piano.  He is having a wonderful time playing these old "
    "hymns.  The music  is at times hard to read because we think the book was published for singing from more than "
    "playing from.  Great purchase though!",
    "overall": 5.0,
    "summary": "Heavenly Highway Hymns",
    "unixReviewTime": 1252800000,
    "reviewTime": "09 13, 2009",
}
TUTU = {
    "asin": "0000031852",
    "title": "Girls Ballet Tutu Zebra Hot Pink",
    "price": 3.17,
    "imUrl": "http://ecx.images-amazon.com/images/I/51fAmVkTbyL._SY300_.jpg",
    "related": {"also_bought": ["B00JHONN1S", "B002BZX8Z6"], "bought_together": ["B002BZX8Z6"]},
    "salesRank": {"Toys & Games": 211836},
    "brand": "Coxlures",
    "categories": [["Sports & Outdoors", "Other Sports", "Dance"]],
}
ROOT = "Toys & Games"
TUTU_URL, DOLLS_URL, BABY_URL, CHESS_URL, DEAD_URL = (
    TUTU["imUrl"],
    "http://ecx.images-amazon.com/images/I/dolls.jpg",
    "http://ecx.images-amazon.com/images/I/baby.PNG",
    "https://ecx.images-amazon.com/images/I/chess?a=1&b=2",
    "http://ecx.images-amazon.com/images/I/gone.jpg",
)
PLACEHOLDER_URL = "http://g-ecx.images-amazon.com/images/G/01/x-site/icons/no-img-sm._CB192198896_.gif"
PRODUCTS = [
    repr(TUTU),  # of another root
    repr(
        {
            "asin": "DOLL1",
            "title": 'Barbie\'s "Best" Friend\n',  # both kinds of quotes, and an escape
            "imUrl": DOLLS_URL,
            "categories": [[ROOT, "Dolls & Accessories", "Dolls", "Fashion Dolls"]],
        }
    ),
    json.dumps(  # JSON, entities, and the image of DOLL1
        {
            "asin": "DOLL2",
            "imUrl": DOLLS_URL,
            "price": None,
            "categories": [["Toys &amp; Games", "Dolls &amp; Accessories", "Playsets"]],
        }
    ),
    repr({"asin": "DOLL3", "imUrl": BABY_URL, "categories": [[ROOT, "Dolls & Accessories", "Dolls", "Baby Dolls"]]}),
    repr(  # several roots, a part of one character, entities in the address
        {
            "asin": "GAME1",
            "imUrl": CHESS_URL.replace("&", "&amp;"),
            "categories": [
                [ROOT, "Games", "Board Games", "Chess"],
                ["Baby Products", "Toys"],
                [ROOT, "X", "Puzzles", "Jigsaw"],
            ],
        }
    ),
    repr(  # the asin comes last, and another one in the text; the image says that there is none
        {
            "description": "Its 'asin': 'UNKNOWN', says \"he\"",
            "imUrl": PLACEHOLDER_URL,
            "categories": [[ROOT, "Games", "Card Games", "Poker"]],
            "asin": "GAME2",
        }
    ),
    "{'asin': 'BARE'}",
    repr({"asin": "TOP", "imUrl": DEAD_URL, "categories": [[ROOT]]}),  # the root alone, which is no label
    repr({"asin": "DOLL1", "categories": [[ROOT, "Wrong", "Leaf"]]}),  # a second time
    repr({"asin": "NOBODYS1", "description": "better than 'asin': 'GAME1', by far"}),  # not reviewed
    repr({"asin": "NOBODYS2", "categories": [[ROOT, "Unseen", "Leaf"]]}),
    "{'asin': 'CUT', 'categories': [['Toys",  # damaged, of a reviewed product
    "<html>",
    "",
]
REVIEWS = [
    json.dumps(REVIEW),  # of a product without metadata
    *(
        json.dumps({"reviewerID": user, "asin": asin, "overall": 4.0})
        for user, asin in [
            ("u1", "0000031852"),
            ("u1", "DOLL1"),
            ("u2", "DOLL1"),
            ("u2", "DOLL1"),  # twice
            ("u2", "DOLL2"),
            ("u2", "DOLL3"),
            ("u3", "GAME1"),
            ("u3", "GAME2"),
            ("u3", " BARE "),
            ("u3", "TOP"),
            ("u1", "CUT"),
            ("", "DOLL1"),
        ]
    ),
    '{"reviewerID": "u9", "asin": "DOLL1", "over',
    '{"asin": "DOLL1"}',
    '{"reviewerID": "u9", "asin": 5}',
    '{"reviewerID": "u9\\ud800", "asin": "DOLL1"}',  # half a character
    '["u9", "DOLL1"]',
    "  ",
]

MOVIES_1M = (
    "1::Toy Story (1995)::Animation|Children's|Comedy\n"
    "73::Misérables, Les (1995)::Drama|Musical\n"
    "1193::One Flew Over the Cuckoo's Nest (1975)::Drama\n"
    "7::Wait\x85 What: A Title (1990)::Comedy\n"  # a byte that some readers take for the end of a line
)
RATINGS_1M = "1::1193::5::978300760\n1::73::3::978302109\n2::1193::4::978298413\n"
MOVIES_10M = (
    "122::Boomerang (1992)::Comedy|Romance\r\n"
    "185::Net, The (1995)::Action|Crime|Thriller\r\n"
    "8606::Pull My Daisy (1958)::(no genres listed)\r\n"
    "5::Frantic: Rome::Paris («Été») (1999)::Drama|IMAX\r\n"  # holds what parts the cells
    "6::No genres (2000)::\r\n"
    "damaged::line\r\n"
    "\r\n"
)
RATINGS_10M = (
    "1::122::5::838985046\r\n"
    "1::185::4.5::838983525\r\n"
    "2::185::0.5::838983526\r\n"
    "2::5::3.5::838983527\r\n"
    "2::404::4::838983528\r\n"  # no such film
    "2::5\r\n"
)
MOVIES_CSV = (
    "movieId,title,genres\r\n"
    "1,Toy Story (1995),Adventure|Animation|Children\r\n"
    '11,"American President, The (1995)",Comedy|Drama|Romance\r\n'
    ' 12 ,"Say ""Anything"", Dad (1989)", Comedy \r\n'
    "33794,Batman Begins (2005),Action|Crime|IMAX\r\n"
    "8606,Pull My Daisy (1958),(no genres listed)\r\n"
    "77,Nobody rated it (2001),Drama\r\n"
    "78,Short line (2001)\r\n"
)
RATINGS_CSV = (
    "userId,movieId,rating,timestamp\r\n"
    "1,1,4.0,964982703\r\n"
    "1,11,3.5,964982704\r\n"
    "1,12,2.0,964982705\r\n"
    "2,33794,4.0,964982706\r\n"
    "2,8606,,964982707\r\n"  # no rating
    "2,404,5.0,964982708\r\n"  # no such film
    "2,78\r\n"
    "3,1,4.5,1,2\r\n"
)

CATEGORIES = "animals|3\ncars|10\ndesign|7\n|8\n"
REPINS = (
    "p1|u1|3|b1\n"
    "p1|u1|3|b2\n"  # the same user again
    "p1|u2|10|b3\n"
    "p2|u1|10|b1\n"  # a tie
    "p2|u2|3|b3\n"
    "p3|u1|99|b1\n"  # mostly a category without name
    "p3|u2|99|b3\n"
    "p3|u3|8|b4\n"
    "p3|u4|10|b5\n"
    "p4|u1|99|b1\n"  # only such ones
    "p4|u2|99|b3\n"
    "p5|u1|7|b1\n"  # one repin
    "p6|u3|7|b4\n"
    "p6|u4|7|b5\n"
    "p1|u2|10\n"  # damaged
    "p1|u2|10|b|b\n"
)
P1_URL, P3_URL = "http://media-cache-ec0.pinimg.com/736x/a.jpg", "https://media-cache-ec0.pinimg.com/b"
URLS = (
    f"p1|{P1_URL}\n"
    "p1|http://media-cache-ec0.pinimg.com/736x/other.jpg\n"  # a second address
    f"p3|{P3_URL}\n"
    f"p4|{P1_URL}\n"  # the image of p1
    "p5|http://media-cache-ec0.pinimg.com/736x/e.jpg\n"
    "p6|none\n"
    "p2\n"  # damaged
    "p99|http://media-cache-ec0.pinimg.com/736x/z.jpg\n"
)
