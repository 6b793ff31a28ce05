"""How the page of the API looks: by day and by night, on a desk and in a hand."""

from typing import Final

STYLE: Final = """\
:root{--ink:#1c2330;--soft:#5d6777;--line:#e3e7ee;--paper:#fff;--wash:#f6f8fb;--link:#1857c4;
--get:#0b7285;--post:#2b7a3d;--delete:#b3261e;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ef;--soft:#98a3b5;--line:#2a3241;--paper:#12161d;--wash:#1a202a;
--link:#7fb0ff;--get:#58c3d6;--post:#74cf8a;--delete:#ff8a80}}
*{box-sizing:border-box}html{scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;color:var(--ink);background:var(--paper);font:16px/1.55 system-ui,sans-serif;display:flex}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
nav{position:sticky;top:0;height:100vh;overflow:auto;flex:0 0 21rem;padding:1.25rem 1rem 3rem 1.5rem;
background:var(--wash);border-right:1px solid var(--line);font-size:.82rem}
nav a{display:block;padding:.16rem 0 .16rem 3.4rem;text-indent:-3.4rem;color:var(--ink);line-height:1.4}
nav a:not(:has(i)){padding-left:0;text-indent:0}
nav .home{font-size:1.2rem;font-weight:650}nav .home small{color:var(--soft);font-weight:400}
nav h4{margin:1.1rem 0 .25rem;font-size:.72rem;letter-spacing:.06em;text-transform:uppercase;color:var(--soft)}
main{flex:1;min-width:0;max-width:62rem;padding:2rem 3rem 6rem}
h1{margin:.2rem 0 .6rem;font-size:2rem}h2{margin:3rem 0 .3rem;font-size:1.45rem}
h3{display:flex;flex-wrap:wrap;gap:.5rem;align-items:baseline;margin:0 0 .4rem;font-size:1rem}
h3 code{font-size:.98rem;font-weight:600;overflow-wrap:anywhere}h3 em{color:var(--soft);font-style:normal}
h5{margin:1rem 0 .3rem;font-size:.85rem}small{color:var(--soft);font-weight:400}
section{margin:1.2rem 0;padding:1.1rem 1.3rem;border:1px solid var(--line);border-radius:10px}
section:target{border-color:var(--link);box-shadow:0 0 0 1px var(--link)}
i{display:inline-block;min-width:2.9rem;margin-right:.5rem;text-indent:0;font:650 .7rem/1.4 ui-monospace,monospace;
text-transform:uppercase}
i.get{color:var(--get)}i.post,i.put,i.patch{color:var(--post)}i.delete{color:var(--delete)}
h3 i{min-width:0;margin:0;padding:.12rem .5rem;border:1px solid currentColor;border-radius:5px}
b{padding:.05rem .45rem;border-radius:9px;background:var(--wash);border:1px solid var(--line);color:var(--soft);
font:500 .7rem/1.5 system-ui,sans-serif}
p{margin:.4rem 0}.kind{font-size:.9rem}
code{font:.86em ui-monospace,SFMono-Regular,Menlo,monospace}
p code,td:last-child code{padding:.08em .3em;border-radius:4px;background:var(--wash)}
table{width:100%;border-collapse:collapse;font-size:.88rem}
td{padding:.38rem .8rem .38rem 0;border-top:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
td:first-child{width:30%}td:nth-child(2){width:30%}
td table{margin-top:.3rem;font-size:.95em}
@media(max-width:60rem){body{display:block}nav{position:static;height:auto;max-height:16rem;border-right:0;
border-bottom:1px solid var(--line)}main{padding:1.2rem 1rem 4rem}section{padding:.9rem .9rem}}
@media print{nav{display:none}section{break-inside:avoid}}
"""
